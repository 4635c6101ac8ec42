"""Limits, endpoints, the service table and the log of bad connections."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from server.config.site import Site, load_site
from server.opcua.connection.connection_log import ConnectionLog
from server.opcua.face import limits_of
from server.opcua.limits import ANNOUNCED, Limits
from server.opcua.security.endpoints import TRANSPORT, Endpoints, SecurityOptions, token_policies
from server.opcua.security.policies import NONE_URI
from server.opcua.services.service_table import OPERATIONS, ServiceTable
from tests.unit.opcua.security_kit import APPLICATION_URI, Clock

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize("value", [0, -1])
def test_no_limit_can_be_switched_off(value: int) -> None:
    with pytest.raises(ValueError, match=f"sessions = {value}"):
        Limits(sessions=value)


def site_with(tmp_path: Path, section: str) -> Site:
    text = (EXAMPLES / "demo.toml").read_text()
    before, _, after = text.partition("[opcua]\n")
    path = tmp_path / "site.toml"
    path.write_text(f"{before}[opcua]\n{section}\n{after[after.index('[') :]}")
    return load_site(path)


def test_a_site_that_sets_no_limit_has_the_usual_ones(tmp_path: Path) -> None:
    assert limits_of(site_with(tmp_path, "")) == Limits()


def test_a_site_sets_the_limits_that_it_names_and_no_other(tmp_path: Path) -> None:
    section = "max_sessions = 7\nmax_monitored_items_per_session = 1000"
    assert limits_of(site_with(tmp_path, section)) == Limits(
        sessions=7, monitored_items_per_session=1000, monitored_items_per_subscription=1000
    )


def test_every_announced_limit_is_one_that_exists() -> None:
    assert all(getattr(Limits(), name) > 0 for _, name, _ in ANNOUNCED)
    assert len({number for number, _, _ in ANNOUNCED}) == len(ANNOUNCED)


def endpoints(options: SecurityOptions | None = None) -> Endpoints:
    return Endpoints(
        options or SecurityOptions(),
        APPLICATION_URI,
        "urn:p",
        "gridbms",
        b"der",
        ("bess.example", "192.0.2.7", "::1"),
        4840,
    )


def test_the_best_endpoint_comes_first_and_none_only_when_configured() -> None:
    names = [
        (item.SecurityPolicyUri.rpartition("#")[2], item.SecurityMode.name, item.SecurityLevel)
        for item in endpoints(SecurityOptions(allow_none=True)).descriptions("opc.tcp://192.0.2.7:1", "")
    ]
    assert names == [
        ("Aes256_Sha256_RsaPss", "SignAndEncrypt", 200), ("Basic256Sha256", "SignAndEncrypt", 190),
        ("Aes128_Sha256_RsaOaep", "SignAndEncrypt", 180), ("Aes256_Sha256_RsaPss", "Sign", 100),
        ("Basic256Sha256", "Sign", 90), ("Aes128_Sha256_RsaOaep", "Sign", 80), ("None", "None_", 0),
    ]  # fmt: skip
    assert all(item.SecurityPolicyUri != NONE_URI for item in endpoints().descriptions("", ""))


def test_exactly_the_configured_policies_are_offered() -> None:
    found = endpoints(SecurityOptions(policies=("Basic256Sha256",), modes=("Sign",))).descriptions("", "192.0.2.7")
    assert [(item.SecurityPolicyUri.rpartition("#")[2], item.SecurityMode.name) for item in found] == [
        ("Basic256Sha256", "Sign")
    ]
    with pytest.raises(ValueError, match="Basic128Rsa15"):
        SecurityOptions(policies=("Basic128Rsa15",))


@pytest.mark.parametrize(
    ("url", "local", "expected"),
    [
        ("opc.tcp://BESS.example:9/x", "192.0.2.7", ["opc.tcp://bess.example:4840"]),
        ("opc.tcp://attacker.example", "192.0.2.7", ["opc.tcp://192.0.2.7:4840"]),
        ("opc.tcp://[::1]:4840", "192.0.2.7", ["opc.tcp://[::1]:4840"]),
        ("opc.tcp://[broken", "192.0.2.7", ["opc.tcp://192.0.2.7:4840"]),
        (None, "0.0.0.0", ["opc.tcp://bess.example:4840", "opc.tcp://192.0.2.7:4840", "opc.tcp://[::1]:4840"]),
    ],
)
def test_endpoint_urls_are_those_that_the_client_can_reach(url: str | None, local: str, expected: list[str]) -> None:
    assert endpoints().urls(url, local) == expected


def test_discovery_filters_by_transport_and_by_server() -> None:
    assert endpoints().descriptions("", "", ["http://other"]) == []
    assert endpoints().descriptions("", "", [TRANSPORT])
    assert endpoints().servers("", "", ["urn:other"]) == []
    assert [item.ApplicationUri for item in endpoints().servers("", "", [APPLICATION_URI])] == [APPLICATION_URI]


def test_every_token_policy_has_its_own_id_and_names_how_its_secret_is_encrypted() -> None:
    options = SecurityOptions(
        allow_none=True, allow_anonymous=True, allow_user_certificates=True, allow_plain_password=True
    )
    rows = token_policies(options, NONE_URI, ua.MessageSecurityMode.None_)
    assert [row.PolicyId for row in rows] == ["username_Basic256Sha256", "certificate_Basic256Sha256", "anonymous"]
    assert rows[0].SecurityPolicyUri.endswith("#Basic256Sha256")
    strict = token_policies(SecurityOptions(), NONE_URI, ua.MessageSecurityMode.None_)
    assert [row.TokenType for row in strict] == [ua.UserTokenType.UserName]


async def nothing(_session: Any, _params: Any, _request: Any) -> None:
    return None


def test_the_service_table_knows_the_operations_of_its_services() -> None:
    table = ServiceTable()
    for number in OPERATIONS:
        table.register(number, nothing)
        service = table.find(number)
        assert service is not None
        assert service.operations is not None
        assert service.operations(service.parameters_class()) == 0
    assert table.find(1) is None
    with pytest.raises(ValueError, match="request type 632"):
        table.register(632, nothing)
    with pytest.raises(ValueError, match="no field of Limits"):
        table.register(631, nothing, limit="nodes")


def test_one_line_per_address_and_reason_a_minute_with_the_count_of_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "gridbms.opcua")
    clock = Clock()
    log = ConnectionLog(3, clock)
    for _ in range(100):
        log.complain("10.0.0.1", "bad", "detail")
    assert [record.message for record in caplog.records] == ["OPC UA client 10.0.0.1: bad: detail"]
    clock.now += 61
    log.complain("10.0.0.1", "bad", "detail")
    assert caplog.records[-1].message == "OPC UA client 10.0.0.1: bad: detail (99 more since the last line)"
    for number in range(10):
        log.complain("10.0.0.1", f"reason {number}")
    assert len(caplog.records) == 4
