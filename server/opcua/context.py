"""What the connections of one OPC UA server share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from server.opcua.connection.connection_log import ConnectionLog
from server.opcua.connection.open_rate import OpenRate
from server.opcua.limits import Limits
from server.opcua.security.authentication import Authenticator
from server.opcua.security.client_trust import ClientTrust
from server.opcua.security.endpoints import Endpoints, SecurityOptions
from server.opcua.services.service_table import ServiceTable
from server.opcua.session import Audit, SessionManager
from server.pki.own_certificate import OwnCertificate

Result = TypeVar("Result")


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
    accepting: bool = True
    """False while the server shuts down: no new sessions, requests are answered BadServerHalted."""
    opening: int = 0
    """OpenSecureChannel requests inside the worker pool; more than the limit are answered BadTcpServerTooBusy."""

    async def in_pool(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run what would hold the loop, such as cryptography, in the worker pool."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, function, *arguments)
