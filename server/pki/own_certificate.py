"""The server's own application instance certificate (OPC 10000-6 6.2.2): made at first start, loaded afterwards."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from server.pki.files import make_private_folder, read_private, read_public, write_private

CERTIFICATE = Path("own/certs/gridbms.der")
PRIVATE_KEY = Path("own/private/gridbms.pem")
"""Where they lie below the folder `pki`."""
KEY_BITS = 2048
LIFETIME = timedelta(days=730)
MAXIMUM_CERTIFICATE_BYTES = 16 * 1024
PARSE_ERRORS = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises for certificates that are damaged or outside its rules; not all of it is a ValueError."""
BACKDATE = timedelta(hours=1)
"""A clock that runs a little behind ours must not call a fresh certificate not yet valid."""


class OwnCertificateError(Exception):
    """The stored key and certificate do not fit together or cannot be read; the message says how to mend it."""


@dataclass(frozen=True)
class OwnCertificate:
    """Certificate and private key of this server."""

    certificate: x509.Certificate
    private_key: rsa.RSAPrivateKey

    @property
    def der(self) -> bytes:
        """The certificate in DER, as it travels in OpenSecureChannel and CreateSession."""
        return self.certificate.public_bytes(serialization.Encoding.DER)


def local_names() -> list[str]:
    """Every host name and address under which a client may reach this machine, most specific first."""
    hostname = socket.gethostname()
    names = [hostname, "localhost", "127.0.0.1", "::1"]
    with contextlib.suppress(OSError):
        names += [str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(hostname, None)]
    return list(dict.fromkeys(names))


def subject_alternative_name(application_uri: str, names: Sequence[str]) -> x509.SubjectAlternativeName:
    """ApplicationUri first, then DNS names and IP addresses, each once."""
    general: list[x509.GeneralName] = [x509.UniformResourceIdentifier(application_uri)]
    for name in dict.fromkeys(names):
        try:
            general.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            general.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(general)


def make_own_certificate(
    application_uri: str, names: Sequence[str], common_name: str, now: datetime, key_bits: int = KEY_BITS
) -> OwnCertificate:
    """A new RSA key and its self-signed certificate.

    Args:
        application_uri: goes into the subject alternative name; every endpoint announces the same.
        names: host names and addresses that clients use.
        common_name: shown to people in trust dialogues; cut to 64 characters (X.520).
        now: UTC time, aware.
    """
    key = rsa.generate_private_key(65537, key_bits)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "gridbms"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + LIFETIME)
        .add_extension(subject_alternative_name(application_uri, names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=True,
                key_encipherment=True,
                data_encipherment=True,
                # Some validators ask a self-signed certificate for the right to have signed itself.
                key_cert_sign=True,
                key_agreement=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return OwnCertificate(certificate, key)


def load_or_make(
    pki: Path,
    application_uri: str,
    names: Sequence[str] | None = None,
    common_name: str = "gridbms",
    now: datetime | None = None,
) -> OwnCertificate:
    """The certificate below `pki/own`; made and stored when there is none yet.

    Raises:
        UnsafeFileError: the key can be read by others or is a symbolic link.
        OwnCertificateError: key and certificate do not belong together, are damaged, or carry another ApplicationUri.
    """
    key_path, certificate_path = pki / PRIVATE_KEY, pki / CERTIFICATE
    for folder in (pki, pki / "own", certificate_path.parent, key_path.parent):
        make_private_folder(folder)
    if not key_path.exists() and not key_path.is_symlink():
        made = make_own_certificate(application_uri, names or local_names(), common_name, now or datetime.now(UTC))
        # The key goes first: after a crash in between, the next start finds a key without certificate and says so.
        write_private(
            key_path,
            made.private_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )
        write_private(certificate_path, made.der)
        return made
    return _load(key_path, certificate_path, application_uri)


def _load(key_path: Path, certificate_path: Path, application_uri: str) -> OwnCertificate:
    remedy = f"remove both {key_path} and {certificate_path}; a new pair is made at the next start"
    try:
        key = serialization.load_pem_private_key(read_private(key_path), password=None)
        content = read_public(certificate_path, MAXIMUM_CERTIFICATE_BYTES)
        if content is None:
            raise OwnCertificateError(f"{certificate_path}: cannot be read. Remedy: {remedy}")
        certificate = x509.load_der_x509_certificate(content)
    except PARSE_ERRORS as error:
        raise OwnCertificateError(f"{key_path}: key or certificate is damaged ({error}). Remedy: {remedy}") from error
    if not isinstance(key, rsa.RSAPrivateKey) or certificate.public_key() != key.public_key():
        raise OwnCertificateError(f"{certificate_path}: does not belong to the key {key_path}. Remedy: {remedy}")
    found = certificate_uris(certificate)
    if application_uri not in found:
        raise OwnCertificateError(
            f"{certificate_path}: ApplicationUri is {found}, expected {application_uri!r}. Remedy: {remedy}"
        )
    return OwnCertificate(certificate, key)


def certificate_uris(certificate: x509.Certificate) -> list[str]:
    """URIs of the subject alternative name; empty when there is none."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, *PARSE_ERRORS):
        return []
    return extension.value.get_values_for_type(x509.UniformResourceIdentifier)
