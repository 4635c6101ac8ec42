"""What the connections of one OPC UA server share."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from server.opcua.authentication import Authenticator
from server.opcua.client_trust import ClientTrust
from server.opcua.connection_log import ConnectionLog
from server.opcua.endpoints import Endpoints, SecurityOptions
from server.opcua.limits import Limits
from server.opcua.open_rate import OpenRate
from server.opcua.service_table import ServiceTable
from server.opcua.session import Audit, SessionManager
from server.pki.own_certificate import OwnCertificate

if TYPE_CHECKING:
    from server.opcua.transport import Connection


@dataclass
class Counters:
    """Totals since start, for health points and ServerDiagnosticsSummary."""

    rejected_sessions: int = 0
    security_rejected_sessions: int = 0
    rejected_requests: int = 0
    security_rejected_requests: int = 0
    authentication_failures: int = 0
    rejected_certificates: int = 0
    refused_connections: int = 0
    sessions_created: int = 0


@dataclass
class ServerContext:
    """Shared by all connections; made once by `OpcUaServer`."""

    limits: Limits
    options: SecurityOptions
    own: OwnCertificate
    endpoints: Endpoints
    trust: ClientTrust
    user_trust: ClientTrust
    authenticator: Authenticator
    sessions: SessionManager
    services: ServiceTable
    audit: Audit
    log: ConnectionLog
    open_rate: OpenRate
    pool: ThreadPoolExecutor
    clock: Callable[[], float] = time.monotonic
    counters: Counters = field(default_factory=Counters)
    connections: set[Connection] = field(default_factory=set)
    connections_by_address: Counter[str] = field(default_factory=Counter)
    # False while the server shuts down: no new sessions, requests are answered BadServerHalted.
    accepting: bool = True
    # OpenSecureChannel requests inside the worker pool; more than the limit are answered BadTcpServerTooBusy.
    opening: int = 0
