"""Subscriptions over real sockets: asyncua's client against our server, an image written as the core writes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from information_model.roles import Origin, Role
from server.config.site import load_site
from server.opcua.address_space.computed import Computed
from server.opcua.address_space.stored import Stored
from server.opcua.address_space.types import load_types
from server.opcua.address_space.values import Values
from server.opcua.errors import code_name
from server.opcua.publishing.engine import PublishingEngine
from server.opcua.security.endpoints import SecurityOptions
from server.opcua.server import OpcUaServer
from server.opcua.services.attribute_services import AttributeServices
from server.opcua.services.monitored_item_services import MonitoredItemServices
from server.opcua.services.subscription_services import SubscriptionServices
from server.users import User
from tests.unit.opcua.publishing_kit import (
    CELLS,
    EXAMPLES,
    GOOD,
    SOC,
    VOLTAGE,
    Plant,
    data_of,
    deadband,
    item,
    names,
)
from tests.unit.opcua.security_kit import APPLICATION_URI, PASSWORD, Raw, make, scrypt_of, write_users

SAMPLING = 1
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Running:
    """Server, engine and the plant whose images a test publishes."""

    server: OpcUaServer
    engine: PublishingEngine
    plant: Plant
    port: int

    def image(self) -> None:
        """Publish an image and let the engine have it, as the face does."""
        self.plant.publish()
        self.engine.on_image()

    def change(self, point: str, *values: float) -> None:
        """A point takes these values, one per image."""
        for value in values:
            self.plant.set(point, value)
            self.image()

    @asynccontextmanager
    async def client(self, user: str = "operator") -> AsyncIterator[Client]:
        """A connected client on an encrypted channel."""
        made = make("client")
        client = Client(f"opc.tcp://127.0.0.1:{self.port}", timeout=10)
        client.application_uri = made.profile["uri"]
        client.security_policy = SecurityPolicyBasic256Sha256(
            self.server.context.own.certificate,
            made.certificate,
            made.private_key,
            ua.MessageSecurityMode.SignAndEncrypt,
        )
        client.uaclient.set_security(client.security_policy)
        client.set_user(user)
        client.set_password(PASSWORD)
        async with client:
            yield client


@dataclass
class Watch:
    """A subscription as its client sees it: every message is kept, and may be waited for."""

    client: Client
    id: int = 0
    messages: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)

    async def start(self, interval_ms: float = 100, keep_alive: int = 100, maximum: int = 0) -> Watch:
        params = ua.CreateSubscriptionParameters(interval_ms, 10_000, keep_alive, ua.UInt32(maximum), True, ua.Byte(0))
        result = await self.client.uaclient.create_subscription(params, self.messages.put_nowait)
        self.id = int(result.SubscriptionId)
        return self

    async def monitor(self, *requests: ua.MonitoredItemCreateRequest) -> list[str]:
        params = ua.CreateMonitoredItemsParameters(self.id, ua.TimestampsToReturn.Both, list(requests))
        return names([result.StatusCode for result in await self.client.uaclient.create_monitored_items(params)])

    async def until(self, enough: Callable[[list[Any]], bool]) -> list[tuple[int, Any, str]]:
        """(handle, value, status) of what comes until it is enough."""
        found: list[tuple[int, Any, str]] = []
        async with asyncio.timeout(10):
            while not enough(found):
                message = await self.messages.get()
                found += [row[:3] for row in data_of(message.NotificationMessage)]
        return found

    async def count(self, number: int) -> list[tuple[int, Any, str]]:
        return await self.until(lambda found: len(found) >= number)


async def pass_time(engine: PublishingEngine) -> None:
    """What the face does beside following images: without any, time ticks."""
    while True:
        await asyncio.sleep(engine.step())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    folder: Path = tmp_path_factory.mktemp("subscriptions")
    data, run = folder / "data", folder / "run"
    data.mkdir(mode=0o700)
    run.mkdir()
    users = [User(name, frozenset({Role.OPERATOR}), Origin.REMOTE, scrypt_of(PASSWORD)) for name in ("operator", "ems")]
    write_users(data, users)
    site = load_site(EXAMPLES / "demo.toml")
    server = OpcUaServer(
        data=data,
        application_uri=APPLICATION_URI,
        audit=lambda *entry: None,
        options=SecurityOptions(allow_none=True, allow_anonymous=True),
        hosts=("127.0.0.1", "localhost"),
    )
    make("client").trust(data / "pki")
    server.context.trust.folder.reload()
    await server.init()
    await load_types(server.aspace, server.asyncua, site.id)
    plant = Plant(run, site)
    computed, stored = Computed(site, 100.0), Stored(server.aspace)
    values = Values(site, plant.view, plant.utc_ns)
    engine = PublishingEngine(computed, values, stored, plant.view, server.limits)
    AttributeServices(computed, stored, values, plant.view).register(server.services)
    SubscriptionServices(engine.registry).register(server.services)
    MonitoredItemServices(engine.registry).register(server.services)
    plant.publish()
    tasks = [asyncio.create_task(engine.run()), asyncio.create_task(pass_time(engine))]
    port = await server.start("127.0.0.1", 0)
    try:
        yield Running(server, engine, plant, port)
    finally:
        for raw in Raw.live:
            raw.writer.close()
        await asyncio.gather(*(raw.writer.wait_closed() for raw in Raw.live), return_exceptions=True)
        Raw.live.clear()
        await server.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_thousand_items_show_the_image_and_then_what_changes(running: Running) -> None:
    catalogue = running.plant.site.catalogue
    points = [f"{element.name}.{row.point.path}" for element, row in catalogue.points() if row.base >= 0][:1000]
    for index, point in enumerate(points):
        running.plant.set(point, index % 2)
    running.image()
    async with running.client() as client:
        watch = await Watch(client).start()
        assert set(await watch.monitor(*[item(point, index) for index, point in enumerate(points)])) == {GOOD}
        first = await watch.count(1000)
        assert {handle: float(value) for handle, value, _ in first} == {index: index % 2 for index in range(1000)}
        assert len(first) == 1000
        for index in range(0, 1000, 100):
            running.plant.set(points[index], 1)
        running.image()
        assert sorted(handle for handle, _, _ in await watch.count(10)) == list(range(0, 1000, 100))
        # What a subscription says and what a read says is one.
        read = await client.read_values([client.get_node(ua.NodeId(point, 3)) for point in points[:50]])
        assert [float(value) for value in read] == [1.0 if index % 100 == 0 else index % 2 for index in range(50)]


async def test_asyncuas_own_subscription_works_as_its_users_know_it(running: Running) -> None:
    running.change(SOC, 40.0)
    got: asyncio.Queue[float] = asyncio.Queue()

    class Handler:
        def datachange_notification(self, node: Any, value: float, data: Any) -> None:
            got.put_nowait(value)

    async with running.client() as client:
        subscription = await client.create_subscription(100, Handler())
        handle = await subscription.subscribe_data_change(client.get_node(ua.NodeId(SOC, 3)))
        assert await asyncio.wait_for(got.get(), 10) == 40.0
        running.change(SOC, 41.0)
        assert await asyncio.wait_for(got.get(), 10) == 41.0
        await subscription.unsubscribe(handle)
        await subscription.delete()
    assert running.engine.registry.counts()["subscriptions"] == 0


async def test_deadband_queue_order_and_overflow_over_the_wire(running: Running) -> None:
    running.change(VOLTAGE, 0.0)
    async with running.client() as client:
        watch = await Watch(client).start()
        await watch.monitor(
            item(VOLTAGE, 1, mode=SAMPLING, queue=20, filter=deadband(1.0)),
            item(VOLTAGE, 2, mode=SAMPLING, queue=3),
            item(VOLTAGE, 3, mode=SAMPLING, queue=3, oldest=False),
        )
        running.change(VOLTAGE, 0.5, 1.0, 1.5, 2.0, 3.0)
        modes = ua.SetMonitoringModeParameters(watch.id, ua.MonitoringMode.Reporting, [1, 2, 3])
        assert names(await client.uaclient.set_monitoring_mode(modes)) == [GOOD] * 3
        found = await watch.until(lambda rows: {handle for handle, _, _ in rows} == {1, 2, 3})
    by_handle = {
        number: [(value, status) for handle, value, status in found if handle == number] for number in (1, 2, 3)
    }
    assert by_handle[1] == [(0.0, GOOD), (1.5, GOOD), (3.0, GOOD)]
    assert by_handle[2] == [(1.5, GOOD + "+overflow"), (2.0, GOOD), (3.0, GOOD)]
    assert by_handle[3] == [(0.0, GOOD), (0.5, GOOD), (3.0, GOOD + "+overflow")]


async def test_a_matrix_and_a_part_of_it(running: Running) -> None:
    cells = running.plant.columns["CellVoltages"]
    cells[:] = np.arange(len(cells)) % 52 / 64
    running.image()
    async with running.client() as client:
        watch = await Watch(client).start()
        assert await watch.monitor(item(CELLS, 1), item(CELLS, 2, index_range="7,50:51")) == [GOOD, GOOD]
        found = {handle: value for handle, value, _ in await watch.count(2)}
        assert np.array(found[1]).shape == (8, 52)
        assert np.array_equal(np.array(found[1]), np.arange(416).reshape(8, 52) % 52 / 64)
        assert found[2] == [[50 / 64, 51 / 64]]
        cells[7 * 52 + 51] = 4.0
        running.image()
        found = {handle: value for handle, value, _ in await watch.count(2)}
        assert found[2] == [[50 / 64, 4.0]]


async def test_nodes_of_the_standard_can_be_monitored(running: Running) -> None:
    async with running.client() as client:
        watch = await Watch(client).start()
        current_time, state, name = ua.NodeId(2258), ua.NodeId(2259), ua.NodeId(2253)
        assert await watch.monitor(
            item(current_time, 1),
            item(state, 2, filter=deadband(1.0)),
            item(state, 3),
            item(name, 4, attribute=4),
            item(name, 5, attribute=12),
            item(ua.NodeId(2255), 6, index_range="0"),
        ) == [GOOD, "BadFilterNotAllowed", GOOD, GOOD, "BadNotSupported", GOOD]
        # The time goes on although no image is published.
        found = await watch.until(lambda rows: [handle for handle, _, _ in rows].count(1) >= 2)
    assert (3, 0, GOOD) in found
    assert next(value for handle, value, _ in found if handle == 4).Text == "Server"
    assert next(value for handle, value, _ in found if handle == 6) == ["http://opcfoundation.org/UA/"]


async def test_a_client_that_lost_its_connection_takes_its_subscription_over(running: Running) -> None:
    running.change(VOLTAGE, 1.0)
    async with running.client() as client:
        watch = await Watch(client).start()
        await watch.monitor(item(VOLTAGE, 1, queue=10))
        assert [value for _, value, _ in await watch.count(1)] == [1.0]
        for connection in list(running.server.connections):
            connection.abort("the cable was pulled")
        running.change(VOLTAGE, 2.0, 3.0)
        async with running.client("ems") as stranger:
            params = ua.TransferSubscriptionsParameters([watch.id], True)
            (result,) = await stranger.uaclient.transfer_subscriptions(params)
            assert code_name(result.StatusCode.value) == "BadUserAccessDenied"
        async with running.client() as again:
            (result,) = await again.uaclient.transfer_subscriptions(params)
            assert code_name(result.StatusCode.value) == GOOD
            taken: asyncio.Queue[Any] = asyncio.Queue()
            again.uaclient.session._subscription_callbacks[watch.id] = taken.put_nowait
            again.uaclient.ensure_publish_loop()
            values: list[float] = []
            async with asyncio.timeout(10):
                while len(values) < 2:
                    values += [row[1] for row in data_of((await taken.get()).NotificationMessage)]
            assert values == [2.0, 3.0]
            assert names(await again.uaclient.delete_subscriptions([watch.id])) == [GOOD]
        await client.disconnect_socket_only() if hasattr(
            client, "disconnect_socket_only"
        ) else client.disconnect_socket()


async def raw_subscription(running: Running, **options: int) -> tuple[Raw, int]:
    raw = await Raw.connect(running.port)
    await raw.session()
    request = ua.CreateSubscriptionRequest()
    request.Parameters = ua.CreateSubscriptionParameters(
        100, options.get("lifetime", 100), options.get("keep_alive", 10), ua.UInt32(0), True, ua.Byte(0)
    )
    return raw, int((await raw.call(request)).Parameters.SubscriptionId)


async def test_keep_alives_come_without_news_and_silence_ends_the_subscription(running: Running) -> None:
    raw, number = await raw_subscription(running, keep_alive=2, lifetime=15)
    for _ in range(3):
        answer = await raw.call(ua.PublishRequest())
        assert answer.Parameters.SubscriptionId == number
        assert answer.Parameters.NotificationMessage.SequenceNumber == 1
        assert not answer.Parameters.NotificationMessage.NotificationData
    subscription = running.engine.registry.find(number)
    assert subscription is not None
    async with asyncio.timeout(10):
        while not subscription.closed:
            await asyncio.sleep(0)
    answer = await raw.call(ua.PublishRequest())
    (change,) = answer.Parameters.NotificationMessage.NotificationData
    assert code_name(change.Status.value) == "BadTimeout"
    assert await raw.call(ua.PublishRequest()) == "BadNoSubscription"


async def test_a_message_is_repeated_until_it_is_acknowledged(running: Running) -> None:
    raw, number = await raw_subscription(running)
    other, _ = await raw_subscription(running)
    create = ua.CreateMonitoredItemsRequest()
    create.Parameters = ua.CreateMonitoredItemsParameters(number, ua.TimestampsToReturn.Both, [item(SOC, 1)])
    assert names([result.StatusCode for result in (await raw.call(create)).Results]) == [GOOD]
    message = (await raw.call(ua.PublishRequest())).Parameters.NotificationMessage
    # Anonymous may create the item; what he may not see he is told as its status.
    assert [row[:3] for row in data_of(message)] == [(1, None, "BadUserAccessDenied")]
    again = ua.RepublishRequest()
    again.Parameters.SubscriptionId = number
    again.Parameters.RetransmitSequenceNumber = message.SequenceNumber
    for _ in range(2):
        assert (await raw.call(again)).NotificationMessage == message
    assert await other.call(again) == "BadSubscriptionIdInvalid"
    acknowledge = ua.PublishRequest()
    acknowledge.Parameters.SubscriptionAcknowledgements = [
        ua.SubscriptionAcknowledgement(number, message.SequenceNumber)
    ]
    answer = await raw.call(acknowledge)
    assert names(answer.Parameters.Results) == [GOOD]
    assert await raw.call(again) == "BadMessageNotAvailable"


async def test_foreign_and_unknown_subscriptions_are_refused(running: Running) -> None:
    _, number = await raw_subscription(running)
    other, _ = await raw_subscription(running)
    for strange in (number, 4_000_000_000):
        modify = ua.ModifySubscriptionRequest()
        modify.Parameters.SubscriptionId = strange
        create = ua.CreateMonitoredItemsRequest()
        create.Parameters = ua.CreateMonitoredItemsParameters(strange, ua.TimestampsToReturn.Both, [item(SOC, 1)])
        mode = ua.SetMonitoringModeRequest()
        mode.Parameters = ua.SetMonitoringModeParameters(strange, ua.MonitoringMode.Disabled, [1])
        delete_items = ua.DeleteMonitoredItemsRequest()
        delete_items.Parameters = ua.DeleteMonitoredItemsParameters(strange, [1])
        for request in (modify, create, mode, delete_items):
            assert await other.call(request) == "BadSubscriptionIdInvalid"
        delete = ua.DeleteSubscriptionsRequest()
        delete.Parameters.SubscriptionIds = [strange]
        assert names((await other.call(delete)).Results) == ["BadSubscriptionIdInvalid"]
    empty = ua.DeleteSubscriptionsRequest()
    assert await other.call(empty) == "BadNothingToDo"
    wrong_mode = other.body(mode).replace(
        b"\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00", b"\x07\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00"
    )
    other.send(other.chunk(wrong_mode))
    assert await other.response() == "BadMonitoringModeInvalid"


async def test_closing_the_session_answers_the_waiting_request(running: Running) -> None:
    raw, _ = await raw_subscription(running, keep_alive=1000)
    await raw.call(ua.PublishRequest())
    raw.send(raw.chunk(raw.body(ua.PublishRequest())))
    close = ua.CloseSessionRequest()
    close.DeleteSubscriptions = True
    assert await raw.call(close) == "BadSessionClosed"
    assert isinstance(await raw.response(), ua.CloseSessionResponse)
