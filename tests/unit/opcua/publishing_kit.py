"""A plant without processes: a site, an image that a test writes, an engine over it, and a session that listens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.server.address_space import AddressSpace
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from information_model.roles import Role
from server.config.site import Site, load_site
from server.opcua import wire
from server.opcua.address_space.computed import Computed
from server.opcua.address_space.stored import Stored
from server.opcua.address_space.values import Values
from server.opcua.connection.secure_channel import SecureChannel
from server.opcua.errors import ServiceFaultError, code_name
from server.opcua.image import ImageView
from server.opcua.limits import Limits
from server.opcua.publishing.engine import PublishingEngine
from server.opcua.services.monitored_item_services import MonitoredItemServices
from server.opcua.services.service_table import RequestContext
from server.opcua.services.subscription_services import SubscriptionServices
from server.opcua.session import ChannelIdentity, Session, SessionManager
from server.runtime.block import Layout, Writer
from server.users import User

EXAMPLES = Path(__file__).parents[3] / "examples"
RACK = "ESS.ARR01.R001"
SOC, VOLTAGE, CURRENT = (f"{RACK}.Measurements.{name}" for name in ("StateOfCharge", "DcVoltage", "DcCurrent"))
CELLS = f"{RACK}.CellData.CellVoltages"
GOOD = "Good"
PERIOD_S = 0.1


class Plant:
    """A site whose image a test writes."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.site = site
        self.writer = Writer(folder / "image", Layout(site.catalogue.columns()), 1)
        self.columns = {name: np.zeros(length, dtype) for name, dtype, length in site.catalogue.columns()}
        self.mono_ns = 1_000_000_000
        self.utc_ns = 1_700_000_000_000_000_000
        self.columns["source_time"][:] = self.utc_ns
        self.view = ImageView(folder / "image", site.catalogue, lambda: self.mono_ns)

    def slot(self, point: str) -> int:
        """Slot of a scalar point."""
        found = self.site.catalogue.find(point)
        assert found is not None
        return found[0].base + found[1].ordinal

    def set(self, point: str, value: float, status: int = 0) -> None:
        """Value, status and a new source time for the next image."""
        self.utc_ns += 100_000_000
        slot = self.slot(point)
        for name, number in (("value", value), ("status", status), ("source_time", self.utc_ns)):
            self.columns[name][slot] = number

    def publish(self) -> None:
        """Publish an image and take it."""
        self.mono_ns += 100_000_000
        slot = self.writer.begin()
        for name, column in self.columns.items():
            slot[name][:] = column
        self.writer.publish(self.writer.sequence + 1, self.mono_ns, self.utc_ns)
        assert self.view.refresh()


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Line:
    """The far end of a connection: decodes what it is sent, as a client would."""

    address: str = "127.0.0.1"
    congested: bool = False
    answers: list[Any] = field(default_factory=list)
    closed: int | None = None

    def close(self, code: int, reason: str) -> None:
        self.closed = code

    def send_pieces(self, context: RequestContext, pieces: Sequence[bytes]) -> None:
        body = b"".join(pieces)
        type_id = int.from_bytes(body[2:4], "little")
        kind = ua.extension_objects_by_typeid[ua.NodeId(type_id)]
        data = Buffer(body)
        self.answers.append(struct_from_binary(kind, data))
        assert len(data) == 0

    def send_fault(self, context: RequestContext, code: int) -> None:
        self.answers.append(code_name(code))

    def take(self) -> list[Any]:
        """Answers since the last look."""
        found, self.answers = self.answers, []
        return found


class Bench:
    """Engine and services over a plant in simulated time."""

    def __init__(self, folder: Path, site: Site, space: AddressSpace | None = None, **limits: Any) -> None:
        self.plant = Plant(folder, site)
        self.clock = Clock()
        self.limits = Limits(**limits)
        values = Values(site, self.plant.view, self.plant.utc_ns)
        self.engine = PublishingEngine(
            Computed(site, PERIOD_S * 1000),
            values,
            Stored(space if space is not None else AddressSpace()),
            self.plant.view,
            self.limits,
            self.clock,
            first_id=1,
        )
        self.sessions = SessionManager(self.limits, lambda *entry: None, self.clock)
        self.subscriptions, self.items = (
            SubscriptionServices(self.engine.registry),
            MonitoredItemServices(self.engine.registry),
        )
        self.plant.publish()

    def tick(self, count: int = 1, change: Callable[[], None] | None = None) -> None:
        """Images, one per period."""
        for _ in range(count):
            if change is not None:
                change()
            self.clock.now += PERIOD_S
            self.plant.publish()
            self.engine.on_image()
            self.engine.finish()

    def silence(self, seconds: float) -> None:
        """Time passes without images, as the engine's task sees it."""
        until = self.clock.now + seconds
        while self.clock.now < until - 1e-9:
            step = min(self.engine.step(), until - self.clock.now)
            self.clock.now += step
            self.plant.mono_ns += round(step * 1e9)
        self.engine.step()

    def client(self, user: str = "operator", roles: frozenset[Role] = frozenset({Role.OPERATOR}), **more: Any) -> Peer:
        """An activated session."""
        return Peer(self, User(user, roles), **more)


class Peer:
    """One session, and the services as its client calls them."""

    def __init__(self, bench: Bench, user: User, *, signed: bool = True, application: str = "urn:client") -> None:
        self.bench, self.line = bench, Line()
        mode = ua.MessageSecurityMode.SignAndEncrypt if signed else ua.MessageSecurityMode.None_
        self.session: Session = bench.sessions.create(
            channel=self.line,
            identity=ChannelIdentity("policy", mode),
            peer="127.0.0.1:1000",
            name="client",
            requested_timeout_ms=600_000,
            application_uri=application,
            client_certificate=b"",
        )
        bench.sessions.activated(self.session, self.line, user, ())
        self._secure = SecureChannel(bench.limits, bench.clock)
        self._handle = 0

    def context(self, deadline_s: float | None = None) -> RequestContext:
        self._handle += 1
        header = ua.RequestHeader(RequestHandle=ua.UInt32(self._handle))
        return RequestContext(self._handle, 0, header, self.line, self._secure, "peer", deadline_s)  # type: ignore[arg-type]

    async def subscribe(self, interval_ms: float = 100, *, keep_alive: int = 10, lifetime: int = 1000,
                        maximum: int = 0, enabled: bool = True, priority: int = 0) -> int:  # fmt: skip
        params = ua.CreateSubscriptionParameters(
            interval_ms, lifetime, keep_alive, ua.UInt32(maximum), enabled, ua.Byte(priority)
        )
        response = await self.bench.subscriptions.create(self.session, params, self.context())
        self.revised = response.Parameters
        return int(response.Parameters.SubscriptionId)

    async def monitor(self, subscription: int, *requests: ua.MonitoredItemCreateRequest, times: int = 0) -> list[Any]:
        """Results of CreateMonitoredItems."""
        params = ua.CreateMonitoredItemsParameters(subscription, ua.TimestampsToReturn(times), list(requests))
        body = await self.bench.items.create(self.session, params, self.context())
        return list(struct_from_binary(ua.CreateMonitoredItemsResponse, Buffer(body)).Results)

    async def modify(self, subscription: int, *requests: ua.MonitoredItemModifyRequest, times: int = 0) -> list[Any]:
        params = ua.ModifyMonitoredItemsParameters(subscription, ua.TimestampsToReturn(times), list(requests))
        body = await self.bench.items.modify(self.session, params, self.context())
        return list(struct_from_binary(ua.ModifyMonitoredItemsResponse, Buffer(body)).Results)

    async def set_mode(self, subscription: int, mode: int, *items: int) -> list[str]:
        params = ua.SetMonitoringModeParameters(subscription, ua.MonitoringMode(mode), list(items))
        response = await self.bench.items.set_mode(self.session, params, self.context())
        return names(response.Parameters.Results)

    async def delete(self, subscription: int, *items: int) -> list[str]:
        params = ua.DeleteMonitoredItemsParameters(subscription, list(items))
        return names((await self.bench.items.delete(self.session, params, self.context())).Results)

    async def publish(self, count: int = 1, *acknowledged: tuple[int, int], deadline_s: float | None = None) -> str:
        """Send Publish requests; name of the fault, or empty."""
        request = ua.PublishParameters()
        request.SubscriptionAcknowledgements = [ua.SubscriptionAcknowledgement(*pair) for pair in acknowledged]
        for _ in range(count):
            body = struct_to_binary(request)
            try:
                await self.bench.subscriptions.publish(self.session, Buffer(body), self.context(deadline_s))
            except ServiceFaultError as error:
                return code_name(error.code)
        return ""

    def notified(self) -> list[tuple[int, float | None, str]]:
        """(client handle, value, status) of all notifications since the last look; faults fail."""
        return [(item[0], item[1], item[2]) for item in self.stamped()]

    def stamped(self) -> list[tuple[int, Any, str, Any, Any]]:
        """The same with source and server time."""
        found = []
        for answer in self.line.take():
            assert not isinstance(answer, str), answer
            found += data_of(answer.Parameters.NotificationMessage)
        return found


def data_of(message: Any) -> list[tuple[int, Any, str, Any, Any]]:
    """(client handle, value, status, source time, server time) of every data notification of a message."""
    found = []
    for part in message.NotificationData or []:
        for item in getattr(part, "MonitoredItems", []):
            value = item.Value
            name = status_name(value.StatusCode)
            found.append(
                (int(item.ClientHandle), value.Value.Value, name, value.SourceTimestamp, value.ServerTimestamp)
            )
    return found


def status_name(status: ua.StatusCode | None) -> str:
    """Name of a code; a value next to a gap in its queue is marked "+overflow"."""
    if status is None:
        return GOOD
    overflow = "+overflow" if status.value & 0x480 == 0x480 else ""
    return code_name(status.value & ~0x480) + overflow


def names(statuses: list[ua.StatusCode]) -> list[str]:
    return [code_name(status.value) for status in statuses]


def item(
    point: str | ua.NodeId,
    handle: int,
    *,
    interval_ms: float = 100,
    queue: int = 1,
    oldest: bool = True,
    mode: int = 2,
    attribute: int = 13,
    index_range: str | None = None,
    filter: Any = None,  # noqa: A002 -- the standard's word
) -> ua.MonitoredItemCreateRequest:
    """A request for one item."""
    node = point if isinstance(point, ua.NodeId) else ua.NodeId(point, 3)
    return ua.MonitoredItemCreateRequest(
        ua.ReadValueId(node, ua.AttributeIds(attribute), index_range),
        ua.MonitoringMode(mode),
        parameters(handle, interval_ms=interval_ms, queue=queue, oldest=oldest, filter=filter),
    )


def parameters(
    handle: int,
    *,
    interval_ms: float = 100,
    queue: int = 1,
    oldest: bool = True,
    filter: Any = None,  # noqa: A002
) -> ua.MonitoringParameters:
    return ua.MonitoringParameters(ua.UInt32(handle), interval_ms, filter, ua.UInt32(queue), oldest)


def deadband(value: float, kind: int = 1, trigger: int = 1) -> ua.DataChangeFilter:
    """A DataChangeFilter; kind 0 none, 1 absolute, 2 percent."""
    return ua.DataChangeFilter(ua.DataChangeTrigger(trigger), ua.UInt32(kind), value)


def ticks_of(utc_ns: int) -> int:
    return wire.ticks(utc_ns)


def demo_site() -> Site:
    return load_site(EXAMPLES / "demo.toml")
