"""History of a small site, and HistoryRead as a client calls it and decodes its answer."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from information_model.roles import Role
from server.opcua.address_space.computed import Computed
from server.opcua.connection.secure_channel import SecureChannel
from server.opcua.errors import code_name
from server.opcua.limits import Limits
from server.opcua.services.history_services import HistoryServices
from server.opcua.services.service_table import RequestContext
from server.opcua.session import ChannelIdentity, SessionManager
from server.store.history import History
from server.users import User
from tests.unit.archive.archive_kit import BASE, VOLTAGE, Archive
from tests.unit.opcua.publishing_kit import Line

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NULL = datetime(1601, 1, 1)  # noqa: DTZ001 -- as asyncua decodes a time of 0


def at(seconds: float | None) -> datetime:
    """Request time: seconds since BASE; None is the null time."""
    if seconds is None:
        return NULL
    return EPOCH + timedelta(microseconds=BASE // 1000 + round(seconds * 1_000_000))


def seconds(time: datetime) -> float:
    """The inverse."""
    return round((time.replace(tzinfo=UTC) - at(0)).total_seconds(), 6)


class Answer:
    """Result of one node."""

    def __init__(self, result: ua.HistoryReadResult) -> None:
        self.status = code_name(result.StatusCode.value)
        self.point: bytes | None = result.ContinuationPoint
        self.data = result.HistoryData.DataValues if isinstance(result.HistoryData, ua.HistoryData) else None

    @property
    def times(self) -> list[float]:
        """Source times."""
        assert self.data is not None
        return [seconds(value.SourceTimestamp) for value in self.data]

    @property
    def rows(self) -> list[tuple[float, Any, str]]:
        """(source time, value, status)."""
        assert self.data is not None
        return [
            (
                seconds(value.SourceTimestamp),
                None if value.Value is None else value.Value.Value,
                code_name(value.StatusCode.value),
            )
            for value in self.data
        ]


class Reader:
    """One session."""

    def __init__(self, services: HistoryServices, limits: Limits, roles: frozenset[Role]) -> None:
        manager, line = SessionManager(limits, lambda *entry: None, lambda: 0.0), Line()
        self.services = services
        self.session = manager.create(
            channel=line,
            identity=ChannelIdentity("policy", ua.MessageSecurityMode.SignAndEncrypt),
            peer="peer",
            name="client",
            requested_timeout_ms=60_000,
            application_uri="urn:client",
            client_certificate=b"",
        )
        manager.activated(self.session, line, User("user", roles), ())
        self._channel = SecureChannel(limits, lambda: 0.0)

    async def call(
        self, details: Any, nodes: list[ua.HistoryReadValueId], *, times: int = 0, release: bool = False
    ) -> list[Answer] | str:
        """Results of the nodes, or the name of the service's fault."""
        params = ua.HistoryReadParameters(details, ua.TimestampsToReturn(times), release, nodes)
        header = ua.RequestHeader(RequestHandle=ua.UInt32(7))
        context = RequestContext(1, 0, header, None, self._channel, "peer", None)  # type: ignore[arg-type]
        data = Buffer(b"".join(await self.services.read(self.session, params, context)))
        kind = ua.extension_objects_by_typeid[ua.NodeId(int.from_bytes(data.copy(4).read(4)[2:], "little"))]
        response = struct_from_binary(kind, data)
        assert len(data) == 0
        assert response.ResponseHeader.RequestHandle == 7
        if isinstance(response, ua.ServiceFault):
            return code_name(response.ResponseHeader.ServiceResult.value)
        return [Answer(result) for result in response.Results]

    async def read(
        self,
        start: float | None = None,
        end: float | None = None,
        number: int = 0,
        *,
        bounds: bool = False,
        point: str = VOLTAGE,
        index_range: str | None = None,
        continuation: bytes | None = None,
        encoding: str | None = None,
        namespace: int = 3,
        release: bool = False,
    ) -> Answer:
        """HistoryRead of raw values of one node."""
        details = ua.ReadRawModifiedDetails(False, at(start), at(end), ua.UInt32(number), bounds)
        node = ua.HistoryReadValueId(
            ua.NodeId(point, namespace), index_range, ua.QualifiedName(encoding, 0), continuation
        )
        answers = await self.call(details, [node], release=release)
        assert isinstance(answers, list)
        return answers[0]

    async def pages(self, *args: Any, **options: Any) -> list[Answer]:
        """All pages of a range."""
        found = [await self.read(*args, **options)]
        while found[-1].point:
            found.append(await self.read(*args, **options, continuation=found[-1].point))
        return found


class Bench:
    """An archive and the services over it. `reader` gives sessions."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        self.archive = Archive(folder)
        self.limits = Limits(**limits)
        site = self.archive.site
        self.services = HistoryServices(Computed(site, 100.0), History(self.archive.data, site.catalogue), self.limits)

    def reader(self, roles: frozenset[Role] = frozenset({Role.OBSERVER})) -> Reader:
        """A new session."""
        return Reader(self.services, self.limits, roles)
