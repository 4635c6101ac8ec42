"""What a client of the bench shows to the server: a certificate that is trusted beforehand, a user and a password."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from server.pki.trust_store import TrustFolder, der_of
from tests.program import PASSWORD

URI = "urn:gridbms:bench:client"
USER = "operator"
ANSWER_S = 600.0
NONE, SIGN_AND_ENCRYPT = "None", "SignAndEncrypt"


def make_credentials(folder: Path, data: Path) -> Path:
    """Key and certificate in `folder`, trusted by the server whose data directory is `data`. Returns `folder`."""
    folder.mkdir(exist_ok=True)
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(URI), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            False,
        )
        .add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(x509.KeyUsage(True, True, True, True, False, False, False, False, False), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    (folder / "client.der").write_bytes(der_of(certificate))
    (folder / "client.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    trusted = TrustFolder(data / "pki").root / "trusted" / "certs" / "bench.der"
    trusted.write_bytes(der_of(certificate))
    trusted.chmod(0o600)
    return folder


async def send(client: Client, request: object) -> bytes:
    """Send a request; the whole response as bytes. Raises ConnectionError where the client is not connected."""
    protocol = client.uaclient.protocol
    if protocol is None:
        raise ConnectionError("the client is not connected")
    buffer = await protocol.send_request(request, timeout=ANSWER_S)
    return bytes(buffer.read(len(buffer)))


async def make_client(endpoint: str, mode: str, folder: Path | None) -> Client:
    """A client that is not connected yet; without a folder it is nobody, as the peers allow."""
    client = Client(endpoint, timeout=60, watchdog_intervall=600)
    client.application_uri = URI
    if folder is not None:
        client.set_user(USER)
        client.set_password(PASSWORD)
    if mode != NONE:
        assert folder is not None
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            str(folder / "client.der"),
            str(folder / "client.pem"),
            mode=ua.MessageSecurityMode[mode],
        )
    return client
