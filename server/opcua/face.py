"""The OPC UA process: puts the rooms together, follows the image, tells its health."""

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import socket
import time
from collections import deque
from pathlib import Path
from typing import Any

from asyncua import ua

from server import __version__
from server.config.site import Site
from server.exit_codes import ExitCode
from server.opcua.address_space.browse import Browser
from server.opcua.address_space.computed import Computed
from server.opcua.address_space.stored import Stored
from server.opcua.address_space.types import load_types
from server.opcua.address_space.values import Values
from server.opcua.image import ImageView
from server.opcua.limits import Limits
from server.opcua.publishing.engine import PublishingEngine
from server.opcua.publishing.methods import SubscriptionMethods
from server.opcua.security.endpoints import SecurityOptions
from server.opcua.server import OpcUaServer
from server.opcua.services.attribute_services import AttributeServices
from server.opcua.services.history_services import HISTORY_CAPABILITIES, HistoryServices
from server.opcua.services.method_services import MethodServices
from server.opcua.services.monitored_item_services import MonitoredItemServices
from server.opcua.services.subscription_services import SubscriptionServices
from server.opcua.services.view_services import ViewServices
from server.runtime.follower import Follower, Pause
from server.runtime.health import HealthWriter
from server.runtime.link import LinkClient, LinkDown, Request, new_id
from server.runtime.parent import Beat
from server.runtime.realtime import freeze_garbage
from server.runtime.serving import tell_serving
from server.runtime.tick import Wake
from server.store.history import History

log = logging.getLogger("gridbms.opcua")

FIRST_IMAGE_S = 15.0
HEALTH_PERIOD_S = 0.5
WAITING_AUDITS = 10_000


class AuditTrail:
    """Audit entries on their way to the event log: nothing waits for them, none is lost while the core lives."""

    def __init__(self, link: LinkClient) -> None:
        self._link = link
        self._waiting: deque[Request] = deque(maxlen=WAITING_AUDITS)
        self._news = asyncio.Event()

    def __call__(self, event: str, ok: bool, user: str, peer: str, detail: str) -> None:
        """Take one entry."""
        arguments = {"event": event, "ok": ok, "detail": detail}
        self._waiting.append(
            Request(
                id=new_id("opcua"), kind="audit", target="ESS", arguments=arguments, user=user, face="opcua", peer=peer
            )
        )
        self._news.set()

    async def run(self) -> None:
        """Hand the entries over in their order; while the core is away they wait."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                try:
                    await self._link.request(self._waiting[0], timeout=2.0)
                except (LinkDown, TimeoutError):
                    await asyncio.sleep(0.5)  # the core is being restarted: nothing else tells when it is back
                    continue
                self._waiting.popleft()


class Face:
    """One running OPC UA server over the image of a site."""

    def __init__(self, site: Site, run: Path, data: Path) -> None:
        self.site, self.run, self.data = site, run, data
        settings = site.file.opcua
        self.image = ImageView(run / "image", site.catalogue)
        self.link = LinkClient(run / "link.sock")
        self.audit = AuditTrail(self.link)
        self.server = OpcUaServer(
            data=data,
            application_uri=site.application_uri,
            audit=self.audit,
            limits=limits_of(site),
            options=SecurityOptions(allow_none=settings.security_none),
            hosts=settings.host_names or None,
            application_name=f"gridbms {site.id}",
            version=__version__,
        )
        self.engine: PublishingEngine | None = None

    async def build(self) -> None:
        """Load the stored nodes, link the computed ones, register the services."""
        server, site = self.server, self.site
        await server.init()
        await load_types(server.aspace, server.asyncua, site.id)
        computed = Computed(site, site.file.core.period_s * 1000)
        stored = Stored(server.aspace)
        values = Values(site, self.image, time.time_ns())
        self.engine = PublishingEngine(computed, values, stored, self.image, server.limits)
        history = History(self.data, site.catalogue)
        ViewServices(Browser(computed, stored), server.limits).register(server.services)
        AttributeServices(computed, stored, values, self.image).register(server.services)
        standard = SubscriptionMethods(self.engine.registry).handlers
        methods = MethodServices(computed, stored, self.link, standard)
        methods.register(server.services)
        SubscriptionServices(self.engine.registry).register(server.services)
        MonitoredItemServices(self.engine.registry).register(server.services)
        HistoryServices(computed, history, server.limits).register(server.services)
        for number, variant in HISTORY_CAPABILITIES:
            node = ua.NodeId(ua.Int32(number))
            if node in server.aspace:
                await server.aspace.write_attribute_value(node, ua.AttributeIds.Value, ua.DataValue(variant))

    async def follow(self, beat: Beat) -> None:
        """Sample when an image is published and something is due; when none comes for a while, time goes on without."""
        assert self.engine is not None
        engine, wake, health = self.engine, Wake(self.run), HealthWriter(self.run, "opcua")
        due = 0.0

        def turn(announced: bool) -> Pause:
            nonlocal due
            if announced:
                engine.on_image()
                pause = Pause(deaf_s=engine.rest_s())
            else:
                pause = Pause(patience_s=engine.step())
            beat.beat()
            if time.monotonic() >= due:
                due = time.monotonic() + HEALTH_PERIOD_S
                health.write(self._counters(), time.monotonic_ns(), time.time_ns())
            return pause

        follower = Follower(wake, turn)
        engine.on_rouse = follower.hear
        try:
            await follower.run()
        finally:
            wake.close()
            health.close()

    def _counters(self) -> dict[str, int]:
        counters, counts = self.server.counters, self.engine.registry.counts() if self.engine is not None else {}
        return {
            "sessions": len(self.server.sessions),
            "subscriptions": counts.get("subscriptions", 0),
            "monitored_items": counts.get("monitored_items", 0),
            "notifications": counts.get("notifications", 0),
            "rejected_requests": counters.rejected_requests,
            "authentication_failures": counters.authentication_failures,
            "rejected_certificates": counters.rejected_certificates,
            "connections": len(self.server.connections),
        }


def limits_of(site: Site) -> Limits:
    """The usual limits, and in their place what the site file gives."""
    settings = site.file.opcua
    given = {
        "connections": settings.max_connections,
        "connections_per_address": settings.max_connections_per_address,
        "sessions": settings.max_sessions,
        "subscriptions_per_session": settings.max_subscriptions_per_session,
        "monitored_items_per_session": settings.max_monitored_items_per_session,
        # One subscription may hold all that a session may have.
        "monitored_items_per_subscription": settings.max_monitored_items_per_session,
    }
    return Limits(
        minimum_sample_rate_ms=site.file.core.period_s * 1000,
        **{name: value for name, value in given.items() if value is not None},
    )


async def serve(site: Site, run: Path, data: Path, beat: Beat, host: str, port: int) -> None:
    """Serve until SIGTERM. The port opens last: when the whole model stands and the core has published."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    face = Face(site, run, data)
    await face.build()
    # What stands now stands for good: a full collection would hold the loop for a tenth of a second.
    freeze_garbage()
    gc.enable()
    wake = Wake(run)
    deadline = time.monotonic() + FIRST_IMAGE_S
    while not face.image.refresh() and not face.image.alive and time.monotonic() < deadline and not stop.is_set():
        await wake.wait()
        beat.beat()
    wake.close()
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(face.follow(beat)), asyncio.create_task(face.audit.run())]
    if face.engine is not None:
        tasks.append(asyncio.create_task(face.engine.run()))
    tasks.append(asyncio.create_task(stop.wait()))
    try:
        try:
            bound = await face.server.start(host, port)
        except OSError as error:
            log.error("OPC UA cannot listen on %s port %d: %s", host, port, why_deaf(error))
            raise SystemExit(ExitCode.CANNOT_START) from None
        tell_serving(run, "opcua", {"endpoint": face.server.endpoint_url, "port": bound})
        log.info("OPC UA serves at %s", face.server.endpoint_url)
        beat.ready()
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(face.server.stop(), 0.8)
        await face.link.close()


def why_deaf(error: OSError) -> str:
    """Why the face cannot listen, and what to do: another host for a host that is wrong, another port for a port."""
    reason = error.strerror or str(error)
    if isinstance(error, socket.gaierror):
        return f"the host name cannot be resolved ({reason}); correct opcua.host (or --opcua-host), or the name service"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"no interface of this machine has that address ({reason}); correct opcua.host (or --opcua-host)"
    return f"{reason}; free the port or choose another"


def run_opcua(site: Site, run: Path, data: Path, beat: Beat, host: str | None, port: int | None) -> None:
    """Main function of the process."""
    settings = site.file.opcua
    asyncio.run(
        serve(site, run, data, beat, settings.host if host is None else host, settings.port if port is None else port)
    )
