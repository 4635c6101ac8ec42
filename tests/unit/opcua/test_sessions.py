"""Sessions: quotas, time-outs, tokens and what service sets may hang on them."""

from __future__ import annotations

from typing import Any

import pytest
from asyncua import ua

from server.opcua.errors import ServiceFaultError, code_name
from server.opcua.limits import Limits
from server.opcua.session import ChannelIdentity, Session, SessionManager, readable
from server.users import ANONYMOUS
from tests.unit.opcua.security_kit import Clock


class Line:
    """A channel that only has an address."""

    congested = False

    def __init__(self, address: str = "10.0.0.1") -> None:
        self.address = address

    def close(self, code: int, reason: str) -> None:
        raise AssertionError("not closed here")


class Site:
    def __init__(self, **limits: Any) -> None:
        self.clock = Clock()
        self.audited: list[tuple[str, bool, str, str, str]] = []
        self.manager = SessionManager(Limits(**limits), lambda *entry: self.audited.append(entry), self.clock)

    def create(self, line: Line, *, activate: bool = True, mark: str = "", timeout_ms: float = 60_000) -> Session:
        session = self.manager.create(
            channel=line,
            identity=ChannelIdentity("policy", ua.MessageSecurityMode.Sign, mark),
            peer=f"{line.address}:1000",
            name="client",
            requested_timeout_ms=timeout_ms,
            application_uri="urn:x",
            client_certificate=b"",
        )
        if activate:
            self.manager.activated(session, line, ANONYMOUS, ())
        return session


def fault(call: Any) -> str:
    with pytest.raises(ServiceFaultError) as caught:
        call()
    return code_name(caught.value.code)


@pytest.mark.parametrize(
    ("asked_ms", "seconds"), [(0, 10), (-5, 10), (30_000, 30), (1e12, 600), (float("nan"), 10), (float("inf"), 600)]
)
def test_the_session_timeout_is_revised(asked_ms: float, seconds: float) -> None:
    assert Site().create(Line(), timeout_ms=asked_ms).timeout_s == seconds


def test_a_token_is_32_random_bytes_and_not_the_session_id() -> None:
    site, line = Site(), Line()
    tokens = {site.create(line).token for _ in range(20)}
    assert len(tokens) == 20
    assert {len(token) for token in tokens} == {32}
    session = site.create(line)
    assert session.token.hex() not in repr(session)
    assert site.manager.find(session.id) is None
    assert site.manager.find(ua.NodeId(session.token, 1, ua.NodeIdType.ByteString)) is None


def test_every_activation_gives_a_new_nonce() -> None:
    site, line = Site(), Line()
    session = site.create(line)
    nonces = {session.nonce, *(site.manager.activated(session, line, ANONYMOUS, ()) for _ in range(5))}
    assert len(nonces) == 6


def test_the_third_failed_activation_closes_the_session() -> None:
    site = Site()
    session = site.create(Line(), activate=False)
    for expected in (False, False, True):
        site.manager.activation_failed(session)
        assert session.closed is expected


def test_sessions_are_limited_in_all_per_address_and_per_certificate() -> None:
    site = Site(sessions=5, sessions_per_address=2, sessions_per_certificate=1)
    site.create(Line("10.0.0.1"), mark="A")
    assert fault(lambda: site.create(Line("10.0.0.2"), mark="A")) == "BadTooManySessions"
    site.create(Line("10.0.0.1"))
    assert fault(lambda: site.create(Line("10.0.0.1"))) == "BadTooManySessions"
    site.create(Line("10.0.0.2"))
    # Two seats are kept for somebody at the machine itself.
    assert fault(lambda: site.create(Line("10.0.0.3"))) == "BadTooManySessions"
    assert site.create(Line("127.0.0.1")).activated


def test_a_session_times_out_without_deleting_its_subscriptions() -> None:
    site = Site()
    session = site.create(Line(), timeout_ms=20_000)
    ended: list[tuple[Session, bool]] = []
    session.on_close.append(lambda closed, delete: ended.append((closed, delete)))
    session.storage["subscriptions"] = [1]
    site.clock.now += 20.1
    site.manager.expire()
    assert ended == [(session, False)]
    assert session.storage == {}
    assert site.audited[-1][0] == "CloseSession"


def test_requests_keep_a_session_alive() -> None:
    site, line = Site(), Line()
    session = site.create(line, timeout_ms=20_000)
    for _ in range(5):
        site.clock.now += 15
        site.manager.expire()
        assert site.manager.authorise(session.authentication_token, line) is session


def test_one_service_set_that_fails_does_not_keep_the_others_from_letting_go() -> None:
    site = Site()
    session = site.create(Line())
    ended: list[bool] = []

    def broken(_session: Session, _delete: bool) -> None:
        raise RuntimeError

    session.on_close += [broken, lambda _session, delete: ended.append(delete)]
    site.manager.close(session, delete_subscriptions=True, reason="test")
    site.manager.close(session, delete_subscriptions=True, reason="again")
    assert ended == [True]


def test_names_from_strangers_are_cut_and_harmless() -> None:
    assert readable("a\x00b\u202ec\nd\ud800" + "x" * 1000, 10) == "a?b?c?d?xx"
