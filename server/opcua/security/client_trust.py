"""Trust in client certificates while the server runs: validation, the rejected folder, hot reload."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime
from pathlib import Path

from asyncua import ua

from server.opcua.connection.connection_log import ConnectionLog
from server.opcua.errors import code_name
from server.opcua.security.certificate_validation import CertificateRefusedError, PeerCertificate, split_chain, validate
from server.opcua.session import Audit
from server.pki.trust_store import TrustFolder

log = logging.getLogger("gridbms.pki")
Codes = ua.StatusCodes


def utc_now() -> datetime:
    """Time for validity periods."""
    return datetime.now(UTC)


class ClientTrust:
    """The trust list of one kind of certificate (applications or users)."""

    def __init__(
        self,
        root: Path,
        pool: Executor,
        log: ConnectionLog,
        audit: Audit,
        *,
        application: bool = True,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.folder = TrustFolder(root)
        self._pool = pool
        self._log = log
        self._audit = audit
        self._application = application
        self._now = now

    async def validate(self, der: bytes, peer: str, address: str) -> PeerCertificate:
        """Validate a chain in a worker thread. A refusal is audited, logged once and remembered in `rejected/`.

        Raises:
            CertificateRefusedError: with the exact code.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, self._validate, der)
        except CertificateRefusedError as error:
            self._audit(
                "CertificateRefused",
                False,
                "",
                peer,
                f"{code_name(error.code)} {error.thumbprint} (i={error.audit_event}): {error.detail}",
            )
            hint = ""
            if error.code == Codes.BadCertificateUntrusted:
                with contextlib.suppress(OSError, CertificateRefusedError):
                    await loop.run_in_executor(self._pool, self.folder.remember_rejected, split_chain(der)[0])
                hint = f"; to trust it: gridbms certs trust {error.thumbprint} --data {self.folder.root.parent}"
            self._log.complain(
                address,
                f"certificate {error.thumbprint or '(unreadable)'} refused",
                f"{code_name(error.code)}, {error.detail}{hint}",
            )
            raise

    def _validate(self, der: bytes) -> PeerCertificate:
        return validate(der, self.folder.store, self._now(), application=self._application)

    def still_valid(self, der: bytes) -> bool:
        """Judge again a certificate that passed before, after the trust list has changed."""
        try:
            self._validate(der)
        except CertificateRefusedError:
            return False
        return True

    def reload(self) -> bool:
        """Look at the folders; True when the trust list has changed. Does file I/O: call it in a worker thread."""
        changed = self.folder.reload()
        if changed:
            store = self.folder.store
            log.info(
                "trust list %s read: %d trusted, %d issuers, %d revocation lists",
                self.folder.root,
                len(store.trusted),
                len(store.issuers),
                len(store.revocation_lists),
            )
        return changed
