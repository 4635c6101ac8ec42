"""Trust list on disk and its immutable snapshot in memory.

Layout below a PKI folder, as certificate managers of other vendors know it:
`trusted/{certs,crl}`, `issuers/{certs,crl}`, `rejected/certs`. Files are DER or PEM.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from server.pki.files import make_private_folder, read_public, write_private
from server.pki.own_certificate import MAXIMUM_CERTIFICATE_BYTES, PARSE_ERRORS, certificate_uris

log = logging.getLogger("gridbms.pki")

FOLDERS = ("trusted/certs", "trusted/crl", "issuers/certs", "issuers/crl", "rejected/certs")
MAXIMUM_REJECTED = 64
MAXIMUM_FILES = 1000
MAXIMUM_CRL_BYTES = 4 << 20
Stamp = tuple[tuple[str, int, int], ...]
"""(path, modification time, size) of every file: equal stamps mean an unchanged folder."""


class CertificateNotFoundError(Exception):
    """No certificate with the thumbprint given, or more than one."""


def thumbprint(der: bytes) -> str:
    """SHA-1 thumbprint in upper-case hex, the form in which OPC UA names certificates (OPC 10000-6 6.2.2)."""
    return hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()


def der_of(certificate: x509.Certificate) -> bytes:
    """DER form of a certificate."""
    return certificate.public_bytes(serialization.Encoding.DER)


def common_name(certificate: x509.Certificate) -> str:
    """Common name for people and file names; empty when there is none."""
    try:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if names else ""
    except PARSE_ERRORS:
        return ""


@dataclass(frozen=True)
class TrustStore:
    """What is trusted at one moment. Keys are SHA-1 thumbprints."""

    trusted: Mapping[str, x509.Certificate] = field(default_factory=dict)
    issuers: Mapping[str, x509.Certificate] = field(default_factory=dict)
    revocation_lists: tuple[x509.CertificateRevocationList, ...] = ()

    def authorities(self) -> Iterator[x509.Certificate]:
        """Certificates that may have issued another one."""
        yield from self.trusted.values()
        yield from self.issuers.values()


@dataclass(frozen=True)
class Listed:
    """One row of `gridbms certs list`."""

    thumbprint: str
    state: str
    common_name: str
    application_uris: tuple[str, ...]
    not_after: str
    path: Path


class TrustFolder:
    """The PKI folder of the application certificates, or of the user certificates below `users/`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        make_private_folder(root)
        for name in FOLDERS:
            make_private_folder(root / name)
        self.store = TrustStore()
        self._stamp: Stamp | None = None
        self._complained: set[str] = set()
        self.reload()

    def reload(self) -> bool:
        """Read the folders again when a name, time or size changed; True when a new snapshot was made.

        Does file I/O: call it in a worker thread.
        """
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return False
        self._complained &= {entry[0] for entry in stamp}
        self.store = TrustStore(
            trusted=self._certificates("trusted/certs"),
            issuers=self._certificates("issuers/certs"),
            revocation_lists=(*self._revocation_lists("trusted/crl"), *self._revocation_lists("issuers/crl")),
        )
        self._stamp = stamp
        return True

    def _files(self, folder: str) -> list[Path]:
        try:
            return sorted(path for path in (self.root / folder).iterdir() if not path.name.startswith("."))[
                :MAXIMUM_FILES
            ]
        except OSError:
            return []  # A folder that vanished trusts nobody.

    def _read_stamp(self) -> Stamp:
        rows = []
        for folder in FOLDERS[:4]:
            try:
                with os.scandir(f"{self.root}/{folder}") as found:
                    entries = sorted((entry.name, entry) for entry in found if not entry.name.startswith("."))
            except OSError:
                continue
            for _, entry in entries[:MAXIMUM_FILES]:
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    rows.append((entry.path, status.st_mtime_ns, status.st_size))
        return tuple(rows)

    def _complain(self, path: Path, problem: str) -> None:
        if str(path) not in self._complained:
            self._complained.add(str(path))
            log.warning("%s: %s; ignored", path, problem)

    def _certificates(self, folder: str) -> dict[str, x509.Certificate]:
        found = {}
        for path in self._files(folder):
            certificate = read_certificate(path)
            if certificate is None:
                self._complain(path, "is no certificate in DER or PEM, or a symbolic link")
            else:
                found[thumbprint(der_of(certificate))] = certificate
        return found

    def _revocation_lists(self, folder: str) -> Iterator[x509.CertificateRevocationList]:
        for path in self._files(folder):
            content = read_public(path, MAXIMUM_CRL_BYTES)
            try:
                if content is None:
                    raise ValueError("cannot be read")
                load = x509.load_pem_x509_crl if content.startswith(b"-----") else x509.load_der_x509_crl
                yield load(content)
            except PARSE_ERRORS as error:
                self._complain(path, f"is no certificate revocation list ({error})")

    def remember_rejected(self, der: bytes) -> bool:
        """Keep a refused certificate for the operator to look at; True when it was not there yet.

        At most 64 files stay; the oldest go first. Does file I/O: call it in a worker thread.
        """
        try:
            name = common_name(x509.load_der_x509_certificate(der))
        except PARSE_ERRORS:
            return False
        # The name comes from a stranger: only harmless characters may reach the file system, and no leading dot, since
        # hidden files are neither listed nor counted.
        name = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:64].lstrip("._") or "unnamed"
        path = self.root / "rejected/certs" / f"{name} [{thumbprint(der)}].der"
        if path.exists():
            return False
        write_private(path, der)
        present = sorted(self._files("rejected/certs"), key=lambda file: file.lstat().st_mtime_ns)
        for old in present[: max(0, len(present) - MAXIMUM_REJECTED)]:
            old.unlink(missing_ok=True)
        return True

    def list(self) -> list[Listed]:
        """All certificates of the trust list and of the rejected folder."""
        rows = []
        for folder, state in (
            ("trusted/certs", "trusted"),
            ("issuers/certs", "issuer"),
            ("rejected/certs", "rejected"),
        ):
            for path in self._files(folder):
                certificate = read_certificate(path)
                if certificate is not None:
                    rows.append(_listed(certificate, state, path))
        return rows

    def trust(self, prefix: str) -> Listed:
        """Move the rejected certificate with this thumbprint (or unique start of it, 6 digits or more) to trusted."""
        return self._move(prefix, "rejected", "trusted")

    def reject(self, prefix: str) -> Listed:
        """Take trust away: move the certificate from trusted to rejected."""
        return self._move(prefix, "trusted", "rejected")

    def _move(self, prefix: str, source: str, target: str) -> Listed:
        wanted = re.sub(r"[\s:]", "", prefix).upper()
        rows = self.list()
        found = {row.thumbprint: row for row in rows if row.thumbprint.startswith(wanted)}
        if len(wanted) < 6 or len(found) != 1:
            raise CertificateNotFoundError(
                f"thumbprint {prefix!r}: {len(found) if len(wanted) >= 6 else 'too short, no'} match, expected one "
                f"(6 or more hexadecimal digits). See: gridbms certs list"
            )
        row = next(iter(found.values()))
        present = {other.state: other for other in rows if other.thumbprint == row.thumbprint}
        if target in present:
            row = present[target]
            # Rejecting or trusting twice is no error; a left-over copy in the other folder must not contradict it.
            if source in present:
                present[source].path.unlink(missing_ok=True)
            return row
        if source not in present:
            raise CertificateNotFoundError(
                f"thumbprint {row.thumbprint}: is {row.state}, expected {source}. See: gridbms certs list"
            )
        row = present[source]
        certificate = read_certificate(row.path)
        if certificate is None:
            raise CertificateNotFoundError(f"{row.path}: changed while it was read; try again")
        path = self.root / target / "certs" / f"{row.path.stem}.der"
        write_private(path, der_of(certificate))
        row.path.unlink(missing_ok=True)
        return _listed(certificate, target, path)


def read_certificate(path: Path) -> x509.Certificate | None:
    """A certificate file in DER or PEM; None when it is none."""
    content = read_public(path, MAXIMUM_CERTIFICATE_BYTES)
    if content is None:
        return None
    try:
        load = x509.load_pem_x509_certificate if content.startswith(b"-----") else x509.load_der_x509_certificate
        return load(content)
    except PARSE_ERRORS:
        return None


def _listed(certificate: x509.Certificate, state: str, path: Path) -> Listed:
    return Listed(
        thumbprint(der_of(certificate)),
        state,
        common_name(certificate),
        tuple(certificate_uris(certificate)),
        certificate.not_valid_after_utc.isoformat(),
        path,
    )
