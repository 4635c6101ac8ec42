"""Certificates from certs/profiles.toml, a running secure frame without address space, and a client of raw bytes."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import itertools
import struct
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from asyncua import Client, ua
from asyncua.crypto.security_policies import (
    SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256Sha256,
)
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from information_model.roles import Origin, Role
from server.opcua.connection.listener import Listener
from server.opcua.context import ServerContext
from server.opcua.limits import Limits
from server.opcua.security.endpoints import SecurityOptions
from server.opcua.server import make_context
from server.opcua.services.discovery import DiscoveryServices
from server.opcua.services.session_services import SessionServices
from server.pki.trust_store import der_of
from server.users import User, hash_password, render_users

PROFILES = tomllib.loads((Path(__file__).parents[3] / "certs" / "profiles.toml").read_text())
BAD = PROFILES["bad"]
APPLICATION_URI = "urn:gridbms:site:test:server"
CLIENT_URI = PROFILES["client"]["uri"]
PASSWORD = "correct horse battery"
POLICIES = (SecurityPolicyAes256Sha256RsaPss, SecurityPolicyBasic256Sha256, SecurityPolicyAes128Sha256RsaOaep)
READ = ua.ObjectIds.ReadRequest_Encoding_DefaultBinary
_SHA256_OID, _SHA1_OID = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
_EKU = {"clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH, "serverAuth": ExtendedKeyUsageOID.SERVER_AUTH}


@functools.cache
def key(bits: int = 2048, name: str = "") -> rsa.RSAPrivateKey:
    """One key per size and name in a test session: making keys is slow."""
    return rsa.generate_private_key(65537, bits)


@functools.cache
def scrypt_of(password: str) -> str:
    """A cheaper hash (N = 2^10) of the same format."""
    return hash_password(password, 10)


@dataclass(frozen=True)
class Made:
    """A certificate with its key and, when issued, the issuer and its revocation list."""

    certificate: x509.Certificate
    private_key: rsa.RSAPrivateKey
    profile: dict[str, Any] = field(hash=False)
    issuer: Made | None = None
    crl: bytes | None = None

    @property
    def der(self) -> bytes:
        return der_of(self.certificate)

    @property
    def key_pem(self) -> bytes:
        return self.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def trust(self, pki: Path) -> None:
        """Put it into the trust list as its profile says."""
        if self.profile.get("trusted"):
            (pki / "trusted/certs" / f"{self.certificate.serial_number}.der").write_bytes(self.der)
        if self.issuer is not None and self.profile.get("authority_trusted", True):
            self.issuer.trust(pki)
            if self.crl is not None:
                (pki / "trusted/crl" / f"{self.certificate.serial_number}.crl").write_bytes(self.crl)


@functools.cache
def make(name: str) -> Made:
    """The certificate of a profile; a bad one is the good client with its one fault."""
    profile = PROFILES["client"] | (BAD.get(name) or PROFILES[name])
    issuer = make(profile["issuer"]) if "issuer" in profile else None
    if issuer:
        profile["trusted"] = False
    now = datetime.now(UTC)
    own_key = key(profile["key_bits"], name if profile.get("ca") else "")
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, profile["common_name"] + ("" if name == "client" else f" {name}"))]
    )
    usage = profile["key_usage"]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(own_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=profile["not_before_days"]))
        .not_valid_after(now + timedelta(days=profile["not_after_days"]))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(profile["uri"]), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            False,
        )
        .add_extension(x509.BasicConstraints(profile.get("ca", False), None), True)
        .add_extension(
            x509.KeyUsage(
                "digitalSignature" in usage,
                "nonRepudiation" in usage,
                "keyEncipherment" in usage,
                "dataEncipherment" in usage,
                False,
                "keyCertSign" in usage,
                "cRLSign" in usage,
                False,
                False,
            ),
            True,
        )
    )
    if profile["extended_key_usage"]:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([_EKU[item] for item in profile["extended_key_usage"]]), False
        )
    signer = issuer.private_key if issuer else own_key
    certificate = builder.sign(signer, hashes.SHA256())
    if profile["hash"] == "sha1":
        # The library no longer signs with SHA-1; the algorithm named in both places is what a validator judges first.
        certificate = x509.load_der_x509_certificate(der_of(certificate).replace(_SHA256_OID, _SHA1_OID))
    if profile.get("forged"):
        der = bytearray(der_of(certificate))
        der[-1] ^= 1
        certificate = x509.load_der_x509_certificate(bytes(der))
    crl = revocation_list(issuer, certificate, profile) if issuer and profile.get("crl", True) else None
    return Made(certificate, own_key, profile, issuer, crl)


def revocation_list(issuer: Made, certificate: x509.Certificate, profile: dict[str, Any]) -> bytes:
    now = datetime.now(UTC)
    days = profile.get("crl_days", 30)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now - timedelta(days=10))
        .next_update(now + timedelta(days=days))
    )
    if profile.get("revoked"):
        revoked = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(now).build()
        builder = builder.add_revoked_certificate(revoked)
    return builder.sign(issuer.private_key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


class Clock:
    """Monotonic time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Frame:
    """A running secure frame: listener, sessions, discovery and a Read that answers 42."""

    context: ServerContext
    listener: Listener
    clock: Clock
    data: Path
    audited: list[tuple[str, bool, str, str, str]]
    port: int = 0

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    def advance(self, seconds: float) -> None:
        """Let time pass and everything overdue happen."""
        self.clock.now += seconds
        self.listener.sweep(self.clock.now)

    def client(
        self,
        policy: Any = SecurityPolicyBasic256Sha256,
        mode: Any = ua.MessageSecurityMode.SignAndEncrypt,
        certificate: Made | None = None,
        user: str = "operator",
        password: str = PASSWORD,
    ) -> Client:
        """asyncua's client, ready to connect."""
        made = certificate or make("client")
        client = Client(self.url, timeout=10)
        client.application_uri = (
            made.profile["uri"] if made.profile.get("refused") != "BadCertificateUriInvalid" else CLIENT_URI
        )
        if policy is not None:
            server = self.context.own.certificate
            client.security_policy = policy(server, made.certificate, made.private_key, mode)
            client.uaclient.set_security(client.security_policy)
        if user:
            client.set_user(user)
            client.set_password(password)
        return client


@asynccontextmanager
async def frame(
    tmp_path: Path, *, limits: Limits | None = None, options: SecurityOptions | None = None
) -> AsyncIterator[Frame]:
    """Run a frame with the users observer, operator, admin and the trusted good client."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    users = [
        User(name, frozenset({role}), Origin.REMOTE, scrypt_of(PASSWORD))
        for name, role in (("observer", Role.OBSERVER), ("operator", Role.OPERATOR), ("security", Role.SECURITY_ADMIN))
    ]
    write_users(data, users)
    audited: list[tuple[str, bool, str, str, str]] = []
    clock = Clock()
    context = make_context(
        data=data,
        application_uri=APPLICATION_URI,
        audit=lambda *entry: audited.append(entry),
        limits=limits,
        options=options,
        hosts=("127.0.0.1", "localhost"),
        clock=clock,
    )
    make("client").trust(data / "pki")
    context.trust.folder.reload()
    SessionServices(context).register()
    DiscoveryServices(context).register()

    async def read(_session: Any, params: Any, _request: Any) -> Any:
        response = ua.ReadResponse()
        response.Results = [ua.DataValue(ua.Variant(42, ua.VariantType.Int32)) for _ in params.NodesToRead]
        return response

    context.services.register(READ, read)
    running = Frame(context, Listener(context), clock, data, audited)
    running.port = await running.listener.start(["127.0.0.1"], 0)
    try:
        yield running
    finally:
        for raw in Raw.live:
            raw.writer.close()
        await asyncio.gather(*(raw.writer.wait_closed() for raw in Raw.live), return_exceptions=True)
        Raw.live.clear()
        await running.listener.stop()


def write_users(data: Path, users: list[User]) -> None:
    path = data / "users.toml"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(render_users(users))


class Raw:
    """A client that sends what a test wants, on a channel without security."""

    live: ClassVar[list[Raw]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.live.append(self)
        self.reader, self.writer = reader, writer
        self.channel_id = 0
        self.token_id = 0
        self.token: ua.NodeId = ua.NodeId()
        self._numbers = itertools.count(1)

    @classmethod
    async def connect(cls, port: int) -> Raw:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def hello(
        self, *, buffers: int = 65535, maximum: int = 0, chunks: int = 0, url: bytes = b"opc.tcp://x"
    ) -> bytes | None:
        body = struct.pack("<IIIIIi", 0, buffers, buffers, maximum, chunks, len(url)) + url
        self.send(b"HELF" + struct.pack("<I", 8 + len(body)) + body)
        return await self.message()

    async def message(self) -> bytes | None:
        """One chunk of the server, None at the end of the connection."""
        try:
            head = await asyncio.wait_for(self.reader.readexactly(8), 10)
            return head + await asyncio.wait_for(self.reader.readexactly(int.from_bytes(head[4:8], "little") - 8), 10)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def error_code(self) -> str:
        """Name of the code in the next ERR message; "closed" when the server only closed."""
        while True:
            message = await self.message()
            if message is None:
                return "closed"
            if message[:3] == b"ERR":
                return ua.StatusCode(ua.UInt32(int.from_bytes(message[8:12], "little"))).name

    async def ended(self) -> bool:
        """True when the server has closed the connection."""
        while await self.message() is not None:
            pass
        return True

    async def open(
        self,
        *,
        lifetime_ms: int = 60_000,
        certificate: bytes | None = None,
        mode: Any = ua.MessageSecurityMode.None_,
        kind: Any = ua.SecurityTokenRequestType.Issue,
    ) -> Any:
        request = ua.OpenSecureChannelRequest()
        request.Parameters.RequestType = kind
        request.Parameters.SecurityMode = mode
        request.Parameters.RequestedLifetime = lifetime_ms
        header = ua.AsymmetricAlgorithmHeader(SenderCertificate=certificate)
        body = struct_to_binary(header) + struct.pack("<II", next(self._numbers), 1) + struct_to_binary(request)
        self.send(b"OPNF" + struct.pack("<II", 12 + len(body), self.channel_id) + body)
        answer = await self.message()
        if answer is None or answer[:3] != b"OPN":
            return answer
        data = ua.utils.Buffer(answer[12:])
        struct_from_binary(ua.AsymmetricAlgorithmHeader, data)
        data.skip(8)
        response = struct_from_binary(ua.OpenSecureChannelResponse, data)
        self.channel_id = response.Parameters.SecurityToken.ChannelId
        self.token_id = response.Parameters.SecurityToken.TokenId
        return response

    def chunk(
        self,
        body: bytes,
        *,
        request_id: int = 1,
        final: bytes = b"F",
        channel_id: int | None = None,
        token_id: int | None = None,
        number: int | None = None,
    ) -> bytes:
        number = next(self._numbers) if number is None else number
        body = (
            struct.pack(
                "<IIII",
                self.channel_id if channel_id is None else channel_id,
                self.token_id if token_id is None else token_id,
                number,
                request_id,
            )
            + body
        )
        return b"MSG" + final + struct.pack("<I", 8 + len(body)) + body

    def body(self, request: Any, *, handle: int = 7, hint_ms: int = 0) -> bytes:
        request.RequestHeader.AuthenticationToken = self.token
        request.RequestHeader.RequestHandle = handle
        request.RequestHeader.TimeoutHint = hint_ms
        return struct_to_binary(request)

    async def call(self, request: Any, **options: Any) -> Any:
        """Send a request; its response object, or the name of the fault, or "closed"."""
        self.send(self.chunk(self.body(request, **options)))
        return await self.response()

    async def response(self) -> Any:
        parts = b""
        while True:
            message = await self.message()
            if message is None:
                return "closed"
            if message[:3] == b"ERR":
                return "ERR " + ua.StatusCode(ua.UInt32(int.from_bytes(message[8:12], "little"))).name
            parts += message[24:]
            if message[3:4] == b"F":
                break
        kind = nodeid_from_binary(ua.utils.Buffer(parts))
        response = struct_from_binary(ua.extension_objects_by_typeid[kind], ua.utils.Buffer(parts))
        return response.ResponseHeader.ServiceResult.name if isinstance(response, ua.ServiceFault) else response

    async def session(self, *, activate: bool = True, name: str = "raw") -> Any:
        """Hello, channel, session, activation as Anonymous."""
        await self.hello()
        await self.open()
        request = ua.CreateSessionRequest()
        request.Parameters.SessionName = name
        request.Parameters.RequestedSessionTimeout = 60_000
        response = await self.call(request)
        if isinstance(response, str):
            return response
        self.token = response.Parameters.AuthenticationToken
        return await self.call(ua.ActivateSessionRequest()) if activate else response

    async def close(self) -> None:
        self.writer.close()


def read_request(count: int = 1) -> ua.ReadRequest:
    request = ua.ReadRequest()
    request.Parameters.NodesToRead = [ua.ReadValueId(NodeId=ua.NodeId(2258), AttributeId=13) for _ in range(count)]
    return request
