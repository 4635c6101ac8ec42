"""Validation of a client's certificate in the order of OPC 10000-4, 6.1.3.

The exact code of a refusal goes to log and audit; on the wire most become BadSecurityChecksFailed, so that a stranger
learns nothing about the trust list (OPC 10000-4, 5.6.2).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from asyncua import ua
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from server.opcua.errors import code_name
from server.pki.own_certificate import PARSE_ERRORS, certificate_uris
from server.pki.trust_store import TrustStore, der_of, thumbprint

MAXIMUM_CHAIN = 5
MINIMUM_KEY_BITS = 2048
MAXIMUM_KEY_BITS = 4096
ACCEPTED_HASHES = frozenset({"sha256", "sha384", "sha512"})
Codes = ua.StatusCodes

TOLD_ON_THE_WIRE = frozenset(
    {Codes.BadCertificateTimeInvalid, Codes.BadCertificateUseNotAllowed, Codes.BadCertificateRevocationUnknown}
)
"""Only these tell the client nothing about the trust list (OPC 10000-4, 5.6.2, result table)."""

AUDIT_EVENT: dict[int, int] = {
    Codes.BadCertificateUntrusted: 2087,
    Codes.BadCertificateTimeInvalid: 2085,
    Codes.BadCertificateIssuerTimeInvalid: 2085,
    Codes.BadCertificateUriInvalid: 2082,
    Codes.BadCertificateUseNotAllowed: 2089,
    Codes.BadCertificateIssuerUseNotAllowed: 2089,
    Codes.BadCertificateRevocationUnknown: 2088,
    Codes.BadCertificateIssuerRevocationUnknown: 2088,
    Codes.BadCertificateRevoked: 2088,
    Codes.BadCertificateIssuerRevoked: 2088,
}
"""Detailed code -> type of the audit event (OPC 10000-5, 6.4.12 and following)."""
AUDIT_CERTIFICATE_INVALID = 2086


class CertificateRefusedError(Exception):
    """A certificate did not pass. `code` is exact and ours; `wire_code` is what the peer may know."""

    def __init__(self, code: int, detail: str, thumbprint_hex: str = "") -> None:
        super().__init__(f"{code_name(code)}: {detail}")
        self.code = int(code)
        self.detail = detail
        self.thumbprint = thumbprint_hex

    @property
    def wire_code(self) -> int:
        """StatusCode for the ERR message at OpenSecureChannel."""
        return self.code if self.code in TOLD_ON_THE_WIRE else int(Codes.BadSecurityChecksFailed)

    @property
    def audit_event(self) -> int:
        """NodeId (namespace 0) of the audit event type."""
        return AUDIT_EVENT.get(self.code, AUDIT_CERTIFICATE_INVALID)


@dataclass(frozen=True)
class PeerCertificate:
    """A certificate that passed."""

    certificate: x509.Certificate
    der: bytes
    thumbprint: str
    application_uris: tuple[str, ...]
    chain: tuple[str, ...]
    """Thumbprints of the chain, leaf first: when trust in one of them ends, the channel ends."""
    raw: bytes = b""
    """As received, issuers included: needed to judge again after the trust list has changed."""


def split_chain(data: bytes) -> list[bytes]:
    """Cut concatenated DER certificates apart (leaf first, OPC 10000-6, 6.2.6); at most five.

    Raises:
        CertificateRefusedError: BadCertificateInvalid for anything that is not a row of DER sequences.
    """
    parts: list[bytes] = []
    offset = 0
    while offset < len(data):
        head = data[offset : offset + 6]
        if len(head) < 2 or head[0] != 0x30 or len(parts) == MAXIMUM_CHAIN:
            raise CertificateRefusedError(Codes.BadCertificateInvalid, "not one to five DER certificates")
        size, header = head[1], 2
        if size >= 0x80:
            count = size & 0x7F
            if not 1 <= count <= 3 or len(head) < 2 + count:
                raise CertificateRefusedError(Codes.BadCertificateInvalid, "DER length not readable")
            size, header = int.from_bytes(head[2 : 2 + count], "big"), 2 + count
        end = offset + header + size
        if end > len(data):
            raise CertificateRefusedError(Codes.BadCertificateInvalid, "certificate is cut off")
        parts.append(data[offset:end])
        offset = end
    if not parts:
        raise CertificateRefusedError(Codes.BadCertificateInvalid, "no certificate")
    return parts


def load_leaf(data: bytes) -> tuple[x509.Certificate, list[x509.Certificate]]:
    """Step 1: parse leaf and supplied issuers; refuse key sizes that would cost time before any RSA operation."""
    try:
        certificates = [x509.load_der_x509_certificate(part) for part in split_chain(data)]
        for certificate in certificates:
            key = certificate.public_key()
            if isinstance(key, rsa.RSAPublicKey) and (
                key.key_size > MAXIMUM_KEY_BITS or key.public_numbers().e.bit_length() > 64
            ):
                raise CertificateRefusedError(
                    Codes.BadCertificatePolicyCheckFailed,
                    f"RSA key of {key.key_size} bits, at most {MAXIMUM_KEY_BITS} allowed",
                    thumbprint(der_of(certificate)),
                )
            if certificate.serial_number <= 0:
                raise CertificateRefusedError(Codes.BadCertificateInvalid, "serial number is not positive")
            _ = list(certificate.extensions)
    except PARSE_ERRORS as error:
        raise CertificateRefusedError(
            Codes.BadCertificateInvalid, f"does not parse ({type(error).__name__})"
        ) from error
    return certificates[0], certificates[1:]


def validate(data: bytes, store: TrustStore, now: datetime, *, application: bool = True) -> PeerCertificate:
    """Validate the certificate chain of a peer.

    Args:
        data: DER of the leaf, issuers may follow.
        store: trust list.
        now: UTC time, aware.
        application: True for application instance certificates (all key usages and clientAuth needed); a user
            certificate needs digitalSignature only.

    Raises:
        CertificateRefusedError: with the exact code of the first step that failed.
    """
    leaf, supplied = load_leaf(data)  # 1 structure
    mark = thumbprint(der_of(leaf))
    try:
        chain = _build_chain(leaf, supplied, store)  # 2 chain, 3 signatures
        for certificate in chain:  # 4 security policy
            _check_policy(certificate)
        if not any(store.trusted.get(thumbprint(der_of(item))) == item for item in chain):  # 5 trust list
            raise CertificateRefusedError(Codes.BadCertificateUntrusted, "not in the trust list")
        for position, certificate in enumerate(chain):  # 6 validity period
            if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
                raise CertificateRefusedError(
                    Codes.BadCertificateIssuerTimeInvalid if position else Codes.BadCertificateTimeInvalid,
                    f"valid {certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}",
                )
        _check_usage(chain, application)  # 9 usage
        for position, (certificate, issuer) in enumerate(itertools.pairwise(chain)):
            _check_revocation(certificate, issuer, store, now, position)  # 10 and 11 revocation
    except CertificateRefusedError as error:
        error.thumbprint = error.thumbprint or mark
        raise
    except PARSE_ERRORS as error:
        raise CertificateRefusedError(Codes.BadCertificateInvalid, type(error).__name__, mark) from error
    return PeerCertificate(
        leaf, der_of(leaf), mark, tuple(certificate_uris(leaf)), tuple(thumbprint(der_of(item)) for item in chain), data
    )


def check_application_uri(peer: PeerCertificate, application_uri: str | None) -> None:
    """Step 8, at CreateSession: the client must call itself by the URI in its certificate."""
    if not application_uri or application_uri not in peer.application_uris:
        raise CertificateRefusedError(
            Codes.BadCertificateUriInvalid, "ApplicationUri is not the one in the certificate", peer.thumbprint
        )


def _check_policy(certificate: x509.Certificate) -> None:
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or not MINIMUM_KEY_BITS <= key.key_size <= MAXIMUM_KEY_BITS:
        raise CertificateRefusedError(
            Codes.BadCertificatePolicyCheckFailed, f"key must be RSA of {MINIMUM_KEY_BITS} to {MAXIMUM_KEY_BITS} bits"
        )
    if not _accepted_hash(certificate):
        raise CertificateRefusedError(Codes.BadCertificatePolicyCheckFailed, "signature hash is weaker than SHA-256")


def _accepted_hash(certificate: x509.Certificate) -> bool:
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return False
    return algorithm is not None and algorithm.name in ACCEPTED_HASHES


def _build_chain(
    leaf: x509.Certificate, supplied: Sequence[x509.Certificate], store: TrustStore
) -> list[x509.Certificate]:
    chain, seen = [leaf], {thumbprint(der_of(leaf))}
    while chain[-1].issuer != chain[-1].subject:
        current = chain[-1]
        # Issuers that we know come first: a supplied one with the same name must not shadow them.
        candidates = [item for item in (*store.authorities(), *supplied) if item.subject == current.issuer]
        issuer = next((item for item in candidates if _issued(current, item)), None)
        if issuer is None:
            code = Codes.BadCertificateInvalid if candidates else Codes.BadCertificateChainIncomplete
            raise CertificateRefusedError(
                code, "signature of the issuer is wrong" if candidates else "issuer not found"
            )
        mark = thumbprint(der_of(issuer))
        if mark in seen or len(chain) == MAXIMUM_CHAIN:
            raise CertificateRefusedError(Codes.BadCertificateChainIncomplete, "chain is a loop or longer than five")
        seen.add(mark)
        chain.append(issuer)
    if not _issued(chain[-1], chain[-1]):
        raise CertificateRefusedError(Codes.BadCertificateInvalid, "signature of the root is wrong")
    return chain


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    if not _accepted_hash(certificate):
        # A weak hash fails step 4 with its own code; its signature proves nothing either way.
        return True
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _check_usage(chain: Sequence[x509.Certificate], application: bool) -> None:
    leaf = chain[0]
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        raise CertificateRefusedError(Codes.BadCertificateUseNotAllowed, "no key usage") from None
    needed = {"digitalSignature": usage.digital_signature}
    if application:
        needed |= {
            "nonRepudiation": usage.content_commitment,
            "keyEncipherment": usage.key_encipherment,
            "dataEncipherment": usage.data_encipherment,
        }
        try:
            extended = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            needed["clientAuth"] = ExtendedKeyUsageOID.CLIENT_AUTH in extended
        except x509.ExtensionNotFound:
            needed["clientAuth"] = False
    missing = [name for name, present in needed.items() if not present]
    if missing:
        raise CertificateRefusedError(Codes.BadCertificateUseNotAllowed, f"key usage lacks {', '.join(missing)}")
    for issuer in chain[1:]:
        try:
            allowed = (
                issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
                and issuer.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
            )
        except x509.ExtensionNotFound:
            allowed = False
        if not allowed:
            raise CertificateRefusedError(Codes.BadCertificateIssuerUseNotAllowed, "issuer is no certificate authority")


def _check_revocation(
    certificate: x509.Certificate, issuer: x509.Certificate, store: TrustStore, now: datetime, position: int
) -> None:
    key = issuer.public_key()
    if not isinstance(key, rsa.RSAPublicKey):  # excluded by step 4
        raise CertificateRefusedError(Codes.BadCertificatePolicyCheckFailed, "issuer key is not RSA")
    lists = [item for item in store.revocation_lists if item.issuer == issuer.subject and item.is_signature_valid(key)]
    if any(item.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None for item in lists):
        raise CertificateRefusedError(
            Codes.BadCertificateIssuerRevoked if position else Codes.BadCertificateRevoked, "revoked by its issuer"
        )
    if not any(item.next_update_utc is None or now <= item.next_update_utc for item in lists):
        raise CertificateRefusedError(
            Codes.BadCertificateIssuerRevocationUnknown if position else Codes.BadCertificateRevocationUnknown,
            f"{'revocation list of the issuer is out of date' if lists else 'no revocation list of the issuer'}",
        )
