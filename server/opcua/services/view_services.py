"""View service set (OPC 10000-4, 5.9): Browse, BrowseNext, TranslateBrowsePathsToNodeIds, Register, Unregister."""

import asyncio
import secrets
import time
from dataclasses import dataclass, field

from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary

from server.opcua import wire
from server.opcua.address_space.browse import BrowseError, Browser, Filter
from server.opcua.limits import Limits
from server.opcua.services.service_table import RequestContext, ServiceTable
from server.opcua.session import Session

Codes = ua.StatusCodes
_Ids = ua.ObjectIds
SLICE_S = 0.001
"""No request holds the loop for longer than this."""
_PATH_ELEMENTS, _BREADTH = 32, 1_000
_STORAGE = "view.continuation"


@dataclass
class Continuation:
    """References that did not fit into an answer, by the secret that fetches them; they belong to one session."""

    rest: dict[bytes, tuple[list[bytes], int]] = field(default_factory=dict)


class Pace:
    """Lets other work run whenever a slice of time is used up."""

    def __init__(self) -> None:
        self._until = time.monotonic() + SLICE_S

    async def breathe(self) -> None:
        """Yield to the loop if it is time."""
        if time.monotonic() >= self._until:
            await asyncio.sleep(0)
            self._until = time.monotonic() + SLICE_S


class ViewServices:
    """Handlers of the set, over one browser."""

    def __init__(self, browser: Browser, limits: Limits) -> None:
        self._browser, self._limits = browser, limits

    def register(self, services: ServiceTable) -> None:
        """Enter the handlers into the table of services."""
        services.register(_Ids.BrowseRequest_Encoding_DefaultBinary, self.browse)
        services.register(_Ids.BrowseNextRequest_Encoding_DefaultBinary, self.browse_next)
        services.register(_Ids.TranslateBrowsePathsToNodeIdsRequest_Encoding_DefaultBinary, self.translate)
        services.register(_Ids.RegisterNodesRequest_Encoding_DefaultBinary, self.register_nodes)
        services.register(_Ids.UnregisterNodesRequest_Encoding_DefaultBinary, self.unregister_nodes)

    async def browse(self, session: Session, params: ua.BrowseParameters, context: RequestContext) -> bytes:
        """Browse: views are not supported, everything else of the service is."""
        head = wire.response_head(_Ids.BrowseResponse_Encoding_DefaultBinary, context.request_handle)
        view = params.View
        if view is not None and view.ViewId is not None and not view.ViewId.is_null():
            code = Codes.BadViewIdUnknown
            return wire.response_head(_Ids.ServiceFault_Encoding_DefaultBinary, context.request_handle, code)
        pace, results = Pace(), []
        for description in params.NodesToBrowse:
            results.append(self._browse_one(session, description, int(params.RequestedMaxReferencesPerNode)))
            await pace.breathe()
        return head + wire.array(results) + wire.NULL_STRING

    def _browse_one(self, session: Session, description: ua.BrowseDescription, maximum: int) -> bytes:
        try:
            wanted = self._browser.filter_of(description)
            found = self._browser.browse(description.NodeId, wanted, int(description.ResultMask))
        except BrowseError as error:
            return _result(error.code, b"", [])
        return self._page(session, found, maximum)

    def _page(self, session: Session, found: list[bytes], maximum: int) -> bytes:
        if not maximum or len(found) <= maximum:
            return _result(Codes.Good, b"", found)
        kept = session.storage.setdefault(_STORAGE, Continuation())
        assert isinstance(kept, Continuation)
        if len(kept.rest) >= self._limits.browse_continuation_points:
            return _result(Codes.BadNoContinuationPoints, b"", [])
        point = secrets.token_bytes(16)
        kept.rest[point] = (found[maximum:], maximum)
        return _result(Codes.Good, point, found[:maximum])

    async def browse_next(self, session: Session, params: ua.BrowseNextParameters, context: RequestContext) -> bytes:
        """BrowseNext: a continuation point is good once and only in its session."""
        kept = session.storage.get(_STORAGE)
        rest = kept.rest if isinstance(kept, Continuation) else {}
        pace, results = Pace(), []
        for point in params.ContinuationPoints:
            found = rest.pop(point, None)
            if found is None:
                results.append(_result(Codes.BadContinuationPointInvalid, b"", []))
            elif params.ReleaseContinuationPoints:
                results.append(_result(Codes.Good, b"", []))
            else:
                results.append(self._page(session, *found))
            await pace.breathe()
        head = wire.response_head(_Ids.BrowseNextResponse_Encoding_DefaultBinary, context.request_handle)
        return head + wire.array(results) + wire.NULL_STRING

    async def translate(
        self, session: Session, params: ua.TranslateBrowsePathsToNodeIdsParameters, context: RequestContext
    ) -> bytes:
        """TranslateBrowsePathsToNodeIds: into, out of and through the border of the computed nodes."""
        pace, results = Pace(), []
        for path in params.BrowsePaths:
            try:
                targets = self._follow(path)
            except BrowseError as error:
                results.append(error.code.to_bytes(4, "little") + wire.array(()))
            else:
                encoded = [bytes(nodeid_to_binary(t)) + b"\xff\xff\xff\xff" for t in targets]
                results.append(b"\x00\x00\x00\x00" + wire.array(encoded))
            await pace.breathe()
        encoding = _Ids.TranslateBrowsePathsToNodeIdsResponse_Encoding_DefaultBinary
        return wire.response_head(encoding, context.request_handle) + wire.array(results) + wire.NULL_STRING

    def _follow(self, path: ua.BrowsePath) -> list[ua.NodeId]:
        if not self._browser.exists(path.StartingNode):
            raise BrowseError(Codes.BadNodeIdUnknown)
        elements = path.RelativePath.Elements or []
        if not elements:
            raise BrowseError(Codes.BadNothingToDo)
        if len(elements) > _PATH_ELEMENTS:
            raise BrowseError(Codes.BadQueryTooComplex)
        nodes = [path.StartingNode]
        for element in elements:
            name = element.TargetName
            if name is None or not name.Name:
                raise BrowseError(Codes.BadBrowseNameInvalid)
            wanted = self._path_filter(element)
            nodes = [
                target
                for node in nodes
                for target, text, namespace in self._browser.targets(node, wanted)
                if text == name.Name and namespace == name.NamespaceIndex
            ]
            if not nodes:
                raise BrowseError(Codes.BadNoMatch)
            if len(nodes) > _BREADTH:
                raise BrowseError(Codes.BadTooManyMatches)
        return nodes

    def _path_filter(self, element: ua.RelativePathElement) -> Filter:
        direction = ua.BrowseDirection.Inverse if element.IsInverse else ua.BrowseDirection.Forward
        try:
            return self._browser.filter_of(
                ua.BrowseDescription(ua.NodeId(), direction, element.ReferenceTypeId, element.IncludeSubtypes, 0, 63)
            )
        except BrowseError:
            raise BrowseError(Codes.BadNoMatch) from None

    async def register_nodes(
        self, session: Session, params: ua.RegisterNodesParameters, context: RequestContext
    ) -> ua.RegisterNodesResponse:
        """RegisterNodes: the ids are fast as they are, so they come back unchanged (OPC 10000-4, 5.9.5)."""
        response = ua.RegisterNodesResponse()
        response.Parameters.RegisteredNodeIds = list(params.NodesToRegister)
        return response

    async def unregister_nodes(
        self, session: Session, params: ua.UnregisterNodesParameters, context: RequestContext
    ) -> ua.UnregisterNodesResponse:
        """UnregisterNodes: nothing is held."""
        return ua.UnregisterNodesResponse()


def _result(code: int, continuation: bytes, references: list[bytes]) -> bytes:
    point = len(continuation).to_bytes(4, "little") + continuation if continuation else wire.NULL_STRING
    return code.to_bytes(4, "little") + point + wire.array(references)
