"""Endpoint descriptions, their order, security levels and user token policies (OPC 10000-4, 5.5, 7.14, 7.41)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.crypto import security_policies

from server.opcua.security.policies import NONE_URI

TRANSPORT = "http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary"
_AES256 = security_policies.SecurityPolicyAes256Sha256RsaPss.URI
_BASIC256 = security_policies.SecurityPolicyBasic256Sha256.URI
_AES128 = security_policies.SecurityPolicyAes128Sha256RsaOaep.URI
_SIGN = ua.MessageSecurityMode.Sign
_ENCRYPT = ua.MessageSecurityMode.SignAndEncrypt

ORDER: tuple[tuple[str, ua.MessageSecurityMode, int], ...] = (
    (_AES256, _ENCRYPT, 200),
    (_BASIC256, _ENCRYPT, 190),
    (_AES128, _ENCRYPT, 180),
    (_AES256, _SIGN, 100),
    (_BASIC256, _SIGN, 90),
    (_AES128, _SIGN, 80),
    (NONE_URI, ua.MessageSecurityMode.None_, 0),
)
"""Best first, as clients that take the first one do. The level is the same order as a number."""
DEFAULT_POLICIES = ("Aes256_Sha256_RsaPss", "Basic256Sha256", "Aes128_Sha256_RsaOaep")
DEFAULT_MODES = ("SignAndEncrypt", "Sign")


@dataclass(frozen=True)
class SecurityOptions:
    """What the server offers. Everything unsafe is off unless the site file says otherwise."""

    policies: tuple[str, ...] = DEFAULT_POLICIES
    modes: tuple[str, ...] = DEFAULT_MODES
    allow_none: bool = False
    """Sessions without any security. Discovery works on such a channel in any case."""
    allow_anonymous: bool = False
    allow_user_certificates: bool = False
    allow_plain_password: bool = False
    """Password without its own encryption, on SignAndEncrypt channels only."""
    anonymous_roles: frozenset[Any] = field(default_factory=frozenset)
    """Roles of a session without user name."""

    def __post_init__(self) -> None:
        known = {uri.rpartition("#")[2] for uri, _, _ in ORDER}
        wrong = [name for name in self.policies if name not in known or name == "None"]
        wrong += [name for name in self.modes if name not in DEFAULT_MODES]
        if wrong:
            raise ValueError(
                f"security policies or modes {wrong}: allowed are {', '.join(DEFAULT_POLICIES)} and "
                f"{', '.join(DEFAULT_MODES)}; None is allowed by its own option"
            )

    def offered(self) -> list[tuple[str, ua.MessageSecurityMode, int]]:
        """(policy URI, mode, level) for sessions, best first."""
        return [
            (uri, mode, level)
            for uri, mode, level in ORDER
            if (uri == NONE_URI and self.allow_none)
            or (uri.rpartition("#")[2] in self.policies and mode.name in self.modes)
        ]

    def accepts(self, policy_uri: str, mode: ua.MessageSecurityMode) -> bool:
        """True when sessions may be created with this policy and mode."""
        return any(uri == policy_uri and offered == mode for uri, offered, _ in self.offered())


def token_policies(options: SecurityOptions, policy_uri: str, mode: ua.MessageSecurityMode) -> list[Any]:
    """User token policies of one endpoint; each has its own PolicyId and names the policy for its secrets."""
    # A password on an endpoint without security still travels encrypted.
    secret_uri = policy_uri if policy_uri != NONE_URI else _BASIC256
    name = secret_uri.rpartition("#")[2]
    rows = [
        ("username_" + name, ua.UserTokenType.UserName, secret_uri, True),
        ("username_plain", ua.UserTokenType.UserName, NONE_URI, options.allow_plain_password and mode == _ENCRYPT),
        ("certificate_" + name, ua.UserTokenType.Certificate, secret_uri, options.allow_user_certificates),
        ("anonymous", ua.UserTokenType.Anonymous, NONE_URI, options.allow_anonymous),
    ]
    result = []
    for policy_id, kind, uri, offered in rows:
        if offered:
            policy: Any = ua.UserTokenPolicy()
            policy.PolicyId, policy.TokenType, policy.SecurityPolicyUri = policy_id, kind, uri
            result.append(policy)
    return result


@dataclass(frozen=True)
class Endpoints:
    """All endpoint descriptions of the server, built per request for the host that the client used."""

    options: SecurityOptions
    application_uri: str
    product_uri: str
    application_name: str
    certificate_der: bytes
    hosts: tuple[str, ...]
    port: int
    path: str = ""

    def urls(self, requested_url: str | None, local_address: str) -> list[str]:
        """Endpoint URLs to announce: the host that the client used when it is ours, else the address it reached."""
        host = requested_host(requested_url)
        if host is not None and any(host == own.lower() for own in self.hosts):
            return [self._url(host)]
        if local_address and not _unspecified(local_address):
            return [self._url(local_address)]
        return [self._url(own) for own in self.hosts]

    def _url(self, host: str) -> str:
        return f"opc.tcp://{f'[{host}]' if ':' in host else host}:{self.port}{self.path}"

    def application(self, urls: Sequence[str]) -> Any:
        """ApplicationDescription of this server."""
        description: Any = ua.ApplicationDescription()
        description.ApplicationUri = self.application_uri
        description.ProductUri = self.product_uri
        description.ApplicationName = ua.LocalizedText(self.application_name, "en")
        description.ApplicationType = ua.ApplicationType.Server
        description.DiscoveryUrls = list(urls)
        return description

    def descriptions(
        self, requested_url: str | None, local_address: str, profile_uris: Sequence[str] = ()
    ) -> list[Any]:
        """Endpoint descriptions, best first; empty when only other transports are asked for."""
        if profile_uris and TRANSPORT not in profile_uris:
            return []
        urls = self.urls(requested_url, local_address)
        result = []
        for url in urls:
            for policy_uri, mode, level in self.options.offered():
                endpoint: Any = ua.EndpointDescription()
                endpoint.EndpointUrl = url
                endpoint.Server = self.application(urls)
                endpoint.ServerCertificate = self.certificate_der
                endpoint.SecurityMode = mode
                endpoint.SecurityPolicyUri = policy_uri
                endpoint.UserIdentityTokens = token_policies(self.options, policy_uri, mode)
                endpoint.TransportProfileUri = TRANSPORT
                endpoint.SecurityLevel = level
                result.append(endpoint)
        return result

    def servers(self, requested_url: str | None, local_address: str, server_uris: Sequence[str] = ()) -> list[Any]:
        """FindServers: this server, unless the client asks for others."""
        if server_uris and self.application_uri not in server_uris:
            return []
        return [self.application(self.urls(requested_url, local_address))]


def requested_host(url: str | None) -> str | None:
    """Host name of an endpoint URL in lower case, None when it does not parse."""
    try:
        return urlsplit(url or "").hostname
    except ValueError:
        return None


def _unspecified(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_unspecified
    except ValueError:
        return True
