"""The OPC UA server: secure frame, ns0 from asyncua, and a table into which the service sets plug."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import asyncua
from asyncua import ua
from asyncua.server.address_space import AddressSpace
from asyncua.server.internal_server import InternalServer
from asyncua.server.user_managers import UserManager

from server.opcua.connection.connection_log import ConnectionLog
from server.opcua.connection.listener import Listener
from server.opcua.connection.open_rate import OpenRate
from server.opcua.connection.transport import Connection
from server.opcua.context import Counters, ServerContext
from server.opcua.limits import ANNOUNCED, Limits
from server.opcua.security.authentication import Authenticator
from server.opcua.security.client_trust import ClientTrust
from server.opcua.security.endpoints import Endpoints, SecurityOptions
from server.opcua.services.discovery import DiscoveryServices
from server.opcua.services.service_table import ServiceTable
from server.opcua.services.session_services import SessionServices
from server.opcua.session import Audit, SessionManager
from server.pki.files import check_data_directory
from server.pki.own_certificate import load_or_make, local_names
from server.users import UserDirectory

PRODUCT_URI = "urn:gridbms"
CRYPTO_THREADS = 2
LISTEN_ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 -- the names of "everywhere", not an address to bind


class GuardedInternalServer(InternalServer):
    """asyncua's address space without its sessions and users: nobody from outside comes in here."""

    def __init__(self) -> None:
        super().__init__(user_manager=_Nobody())
        self.allow_remote_admin = False
        # CurrentTime is computed when it is read; no task writes it every second.
        self.disabled_clock = True

    def create_session(self, *args: Any, external: bool = False, **kwargs: Any) -> Any:
        """Sessions from outside are not asyncua's business."""
        if external:
            raise RuntimeError("sessions of clients are made by server.opcua.session")
        return super().create_session(*args, **kwargs)


class _Nobody(UserManager):
    """A user manager that knows nobody."""

    def get_user(self, *_: Any, **__: Any) -> None:
        """No name, password or certificate is accepted."""


class GuardedServer(asyncua.Server):
    """asyncua's server for building the address space; it must never listen."""

    async def start(self) -> NoReturn:
        """Refuse: this would open asyncua's own, unsafe listener."""
        raise RuntimeError("asyncua's listener is not used; start OpcUaServer")


def make_context(
    *,
    data: Path,
    application_uri: str,
    audit: Audit,
    limits: Limits | None = None,
    options: SecurityOptions | None = None,
    hosts: Sequence[str] | None = None,
    application_name: str = "gridbms",
    path: str = "",
    clock: Callable[[], float] = time.monotonic,
) -> ServerContext:
    """Everything that connections share, read from (and where missing made in) the data directory.

    Raises:
        UnsafeFileError, OwnCertificateError, UsersError: see there; each message names the remedy.
    """
    limits, options = limits or Limits(), options or SecurityOptions()
    check_data_directory(data)
    names = tuple(hosts or local_names())
    own = load_or_make(data / "pki", application_uri, names, application_name)
    log = ConnectionLog(limits.log_lines_per_minute, clock)
    pool = ThreadPoolExecutor(CRYPTO_THREADS, thread_name_prefix="opcua-crypto")
    return ServerContext(
        limits=limits,
        options=options,
        own=own,
        endpoints=Endpoints(options, application_uri, PRODUCT_URI, application_name, own.der, names, 0, path),
        trust=ClientTrust(data / "pki", pool, log, audit),
        user_trust=ClientTrust(data / "pki" / "users", pool, log, audit, application=False),
        authenticator=Authenticator(UserDirectory(data), limits, clock),
        sessions=SessionManager(limits, audit, clock),
        services=ServiceTable(),
        audit=audit,
        log=log,
        open_rate=OpenRate(limits.open_requests_per_second, limits.open_requests_burst, clock),
        pool=pool,
        clock=clock,
    )


class OpcUaServer:
    """The OPC UA face's server.

    Service sets register at `services` and build their nodes in `aspace` between `init` and `start`.
    """

    def __init__(
        self,
        *,
        data: Path,
        application_uri: str,
        audit: Audit,
        limits: Limits | None = None,
        options: SecurityOptions | None = None,
        hosts: Sequence[str] | None = None,
        application_name: str = "gridbms",
        path: str = "",
        version: str = "0",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare keys, trust and users; nothing listens yet.

        Args:
            data: persistent data directory (0700); `pki/` and `users.toml` live in it.
            application_uri: such as `urn:gridbms:application:<id>`; stands in certificate and endpoints.
            audit: takes security events; must not block.
            hosts: host names and addresses that clients use; by default all that this machine has.
        """
        self.context = make_context(
            data=data,
            application_uri=application_uri,
            audit=audit,
            limits=limits,
            options=options,
            hosts=hosts,
            application_name=application_name,
            path=path,
            clock=clock,
        )
        self.version = version
        self.asyncua = GuardedServer(iserver=GuardedInternalServer())
        self._listener = Listener(self.context)
        self._initialised = False
        self._address = ""
        SessionServices(self.context).register()
        DiscoveryServices(self.context).register()

    @property
    def services(self) -> ServiceTable:
        """Where service sets register their handlers."""
        return self.context.services

    @property
    def limits(self) -> Limits:
        """The limits that are enforced and announced."""
        return self.context.limits

    @property
    def sessions(self) -> SessionManager:
        """All sessions."""
        return self.context.sessions

    @property
    def connections(self) -> set[Connection]:
        """All connections."""
        return self._listener.connections

    @property
    def counters(self) -> Counters:
        """Totals since start."""
        return self.context.counters

    @property
    def aspace(self) -> AddressSpace:
        """Stored nodes: ns0 and imported types."""
        return self.asyncua.iserver.aspace

    @property
    def endpoint_url(self) -> str:
        """URL of the address that it listens on, or of the first host where that is any."""
        return self.context.endpoints.urls(None, self._address)[0]

    async def init(self) -> None:
        """Load ns0 (about a second) and state who we are. A second call does nothing."""
        if self._initialised:
            return
        self._initialised = True
        server = self.asyncua
        await server.init()
        await server.set_application_uri(self.context.endpoints.application_uri)
        await server.set_build_info(
            PRODUCT_URI,
            "gridbms",
            self.context.endpoints.application_name,
            self.version,
            self.version,
            datetime.now(UTC),
        )
        await self._announce_limits()

    async def _announce_limits(self) -> None:
        for number, name, kind in ANNOUNCED:
            node = ua.NodeId(ua.Int32(number))
            if node in self.aspace:
                value = ua.Variant(getattr(self.limits, name), ua.VariantType[kind])
                await self.aspace.write_attribute_value(node, ua.AttributeIds.Value, ua.DataValue(value))

    async def start(self, host: str | Sequence[str], port: int) -> int:
        """Listen on `host` (one or several); port 0 picks a free one. Returns the bound port.

        Raises:
            OSError: port taken, or address not of this machine.
        """
        await self.init()
        await self.asyncua.iserver.start()
        self._compute_time()
        hosts = [host] if isinstance(host, str) else list(host)
        self._address = hosts[0]
        return await self._listener.start([name or LISTEN_ANYWHERE[0] for name in hosts], port)

    def _compute_time(self) -> None:
        # ServerStatus holds CurrentTime as a member: both are answered from the clock at the time of reading.
        status_id = ua.NodeId(ua.Int32(ua.ObjectIds.Server_ServerStatus))
        stored = self.aspace.read_attribute_value(status_id, ua.AttributeIds.Value)
        status: Any = stored.Value.Value if stored.Value is not None else None

        def current_time(_node: Any, _attribute: Any) -> ua.DataValue:
            now = datetime.now(UTC)
            return _stamped(ua.Variant(now, ua.VariantType.DateTime), now)

        def server_status(_node: Any, _attribute: Any) -> ua.DataValue:
            now = datetime.now(UTC)
            current = copy(status)
            current.CurrentTime = now
            return _stamped(ua.Variant(current, ua.VariantType.ExtensionObject), now)

        self.asyncua.iserver.set_attribute_value_callback(
            ua.NodeId(ua.Int32(ua.ObjectIds.Server_ServerStatus_CurrentTime)), current_time
        )
        if status is not None:
            self.asyncua.iserver.set_attribute_value_callback(status_id, server_status)

    async def reload(self) -> None:
        """Look at trust lists and users now instead of within two seconds."""
        await self._listener.reload()

    async def stop(self) -> None:
        """Close everything; no task or socket stays, worker threads end with what they do at the moment."""
        await self._listener.stop()
        if self._initialised:
            await self.asyncua.iserver.stop()


def _stamped(value: ua.Variant, now: datetime) -> ua.DataValue:
    result: Any = ua.DataValue(value)
    result.SourceTimestamp = result.ServerTimestamp = now
    return result  # type: ignore[no-any-return]  # built untyped because asyncua wants its own DateTime class
