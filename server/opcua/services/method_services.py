"""Method service set (OPC 10000-4, 5.12): a call becomes a request on the link; the core decides.

The face checks what belongs to the service (nodes, user, number and types of the arguments); whether the plant allows
the command is the core's word and comes back as outputs of a Good call, because outputs of a Bad one are lost.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from asyncua import ua

from information_model.commands import Argument, Command
from information_model.enumerations import ENUMERATIONS
from information_model.members import TYPE_OF_LEVEL, NodeKind
from information_model.points.row import ENUMERATION_TYPE
from server.opcua.address_space.computed import Computed, Place, may_call
from server.opcua.address_space.model import ARGUMENT_TYPES, SITE_INDEX
from server.opcua.address_space.stored import Stored
from server.opcua.errors import ServiceFaultError
from server.opcua.services.service_table import RequestContext, ServiceTable
from server.opcua.session import Session
from server.runtime.link import LinkClient, LinkDown, Request, new_id

Codes = ua.StatusCodes
ACCEPTED, REFUSED = 1, 2
ANSWER_TIMEOUT_S = 2.0
SERVER_OBJECT = ua.NodeId(ua.Int32(ua.ObjectIds.Server))
StandardMethod = Callable[[Session, Sequence[Any]], list[ua.Variant]]


class CallError(Exception):
    """The call is refused by the service: status code and the results of the arguments."""

    def __init__(self, code: int, arguments: list[int] | None = None) -> None:
        super().__init__(hex(code))
        self.code, self.arguments = code, arguments or []


class MethodServices:
    """Handler of Call."""

    def __init__(
        self, computed: Computed, stored: Stored, link: LinkClient, standard: Mapping[int, StandardMethod]
    ) -> None:
        self._computed, self._stored, self._link, self._standard = computed, stored, link, standard

    def register(self, services: ServiceTable) -> None:
        """Enter the handler into the table of services."""
        services.register(ua.ObjectIds.CallRequest_Encoding_DefaultBinary, self.call)

    async def call(self, session: Session, params: ua.CallParameters, context: RequestContext) -> ua.CallResponse:
        """Call: methods run one after another, each with an end in time."""
        response = ua.CallResponse()
        for call in params if isinstance(params, list) else params.MethodsToCall:
            try:
                response.Results.append(await self._one(session, call, context))
            except CallError as error:
                result = ua.CallMethodResult()
                result.StatusCode = _status(error.code)
                result.InputArgumentResults = [_status(code) for code in error.arguments]
                response.Results.append(result)
        return response

    async def _one(self, session: Session, call: ua.CallMethodRequest, context: RequestContext) -> ua.CallMethodResult:
        if call.ObjectId == SERVER_OBJECT:
            return self._of_server(session, call)
        target, command = self._find(call)
        method = self._computed.models[target.node.level][f"Control.{command.name}"]
        if not may_call(method, session.roles):
            session.audit("Call", False, f"{command.name} {target.element.name}: role")
            raise CallError(Codes.BadUserAccessDenied)
        arguments = _arguments(command, list(call.InputArguments or []))
        request = Request(
            id=new_id("opcua"),
            kind="command",
            target=target.element.name,
            command=command.name,
            arguments=arguments,
            user=session.user.name,
            roles=sorted(role.value for role in session.roles),
            origin=session.user.origin.value,
            face="opcua",
            peer=context.peer,
        )
        try:
            answer = await self._link.request(request, timeout=ANSWER_TIMEOUT_S)
        except LinkDown:
            raise CallError(Codes.BadNoCommunication) from None
        except TimeoutError:
            raise CallError(Codes.BadTimeout) from None
        if answer.result == "error":
            raise CallError(Codes.BadInternalError)
        accepted = answer.result == "accepted"
        result = ua.CallMethodResult()
        result.StatusCode = _status(Codes.Good)
        result.InputArgumentResults = [_status(Codes.Good) for _ in arguments]
        result.OutputArguments = [
            ua.Variant(ACCEPTED if accepted else REFUSED, ua.VariantType.Int32),
            ua.Variant(ua.LocalizedText(message(answer.reason, answer.permissives, answer.message), "en")),
            ua.Variant(answer.sequence, ua.VariantType.UInt32),
        ]
        return result

    def _of_server(self, session: Session, call: ua.CallMethodRequest) -> ua.CallMethodResult:
        """Methods of the Server object (OPC 10000-5, 9.1 and 9.2)."""
        number = call.MethodId.Identifier
        handler = self._standard.get(number) if isinstance(number, int) and call.MethodId.NamespaceIndex == 0 else None
        if handler is None:
            raise CallError(Codes.BadMethodInvalid)
        given = list(call.InputArguments or [])
        try:
            outputs = handler(session, given)
        except ServiceFaultError as error:
            raise CallError(error.code) from None
        result = ua.CallMethodResult()
        result.StatusCode = _status(Codes.Good)
        result.InputArgumentResults = [_status(Codes.Good) for _ in given]
        result.OutputArguments = outputs
        return result

    def _find(self, call: ua.CallMethodRequest) -> tuple[Place, Command]:
        """Target and command; the object is the element or its Control object (OPC 10000-4, 5.12.2)."""
        if call.ObjectId.NamespaceIndex != SITE_INDEX:
            raise CallError(Codes.BadMethodInvalid if self._stored.exists(call.ObjectId) else Codes.BadNodeIdUnknown)
        place = self._computed.find(call.ObjectId)
        if place is None:
            raise CallError(Codes.BadNodeIdUnknown)
        if place.node.node_class is not ua.NodeClass.Object:
            raise CallError(Codes.BadNodeIdInvalid)
        method = self._method(call.MethodId, place)
        member = None if method is None else method.node.member
        if method is None or member is None or member.node_kind is not NodeKind.METHOD or member.command is None:
            raise CallError(Codes.BadMethodInvalid)
        if method.element is not place.element or place.node.rel not in ("", "Control"):
            raise CallError(Codes.BadMethodInvalid)
        return place, member.command

    def _method(self, method_id: ua.NodeId, place: Place) -> Place | None:
        """The method of the instance, or the declaration of its type."""
        found = self._computed.find(method_id)
        if found is not None:
            return found
        root = self._computed.models[place.node.level][""]
        declared = f"{TYPE_OF_LEVEL[place.node.level]}."
        text = method_id.Identifier
        if method_id.NamespaceIndex == root.type_definition.NamespaceIndex and isinstance(text, str):
            node = self._computed.models[place.node.level].get(text.removeprefix(declared))
            if node is not None and text.startswith(declared):
                return Place(node, place.element)
        return None


def message(reason: str, permissives: list[str], text: str) -> str:
    """What the caller reads: the decision, and each permissive that is false."""
    parts = [text or reason]
    if permissives:
        parts.append("false: " + ", ".join(permissives))
    return "; ".join(part for part in parts if part)


def _status(code: int) -> ua.StatusCode:
    return ua.StatusCode(ua.UInt32(code))


def _arguments(command: Command, given: list[ua.Variant]) -> dict[str, object]:
    """Arguments by name. Raises CallError with the code of each wrong one."""
    if len(given) < len(command.arguments):
        raise CallError(Codes.BadArgumentsMissing)
    if len(given) > len(command.arguments):
        raise CallError(Codes.BadTooManyArguments)
    codes = [_check(argument, variant) for argument, variant in zip(command.arguments, given, strict=True)]
    if any(codes):
        raise CallError(Codes.BadInvalidArgument, codes)
    return {argument.name: _plain(variant) for argument, variant in zip(command.arguments, given, strict=True)}


def _check(argument: Argument, variant: ua.Variant) -> int:
    expected = ENUMERATION_TYPE if argument.data_type in ENUMERATIONS else ARGUMENT_TYPES[argument.data_type]
    if variant.is_array or variant.VariantType.value != expected:
        return Codes.BadTypeMismatch
    value = _plain(variant)
    size = len(value) if isinstance(value, str) else float(value)  # type: ignore[arg-type]  # checked by its type above
    return Codes.Good if not math.isnan(size) and argument.low <= size <= argument.high else Codes.BadOutOfRange


def _plain(variant: ua.Variant) -> object:
    value = variant.Value
    if isinstance(value, ua.LocalizedText):
        return value.Text or ""
    return value
