"""Users file, hashes, and the brake on guessing."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from information_model.roles import Origin, Role
from server.opcua.limits import Limits
from server.opcua.security.authentication import Authenticator, FailureDelays
from server.pki.files import UnsafeFileError
from server.users import User, UserDirectory, UsersError, check_password, hash_password, parse_users, render_users
from tests.unit.opcua.security_kit import PASSWORD, Clock, scrypt_of, write_users


def test_a_user_is_added_found_changed_and_removed(tmp_path: Path) -> None:
    directory = UserDirectory(tmp_path)
    assert directory.list() == []
    directory.add("anna", PASSWORD, ["Operator"], "station")
    again = UserDirectory(tmp_path)
    user = again.find("anna")
    assert user is not None
    assert (user.roles, user.origin) == (frozenset({Role.OPERATOR}), Origin.STATION)
    assert user.password_hash.startswith("scrypt$15$8$1$")
    assert check_password(user, PASSWORD)
    assert not check_password(user, PASSWORD + "x")
    assert stat.S_IMODE((tmp_path / "users.toml").stat().st_mode) == 0o600
    assert PASSWORD not in (tmp_path / "users.toml").read_text()
    directory.remove("anna")
    assert again.reload()
    assert again.find("anna") is None


def test_names_are_compared_in_nfc_and_case_counts(tmp_path: Path) -> None:
    write_users(tmp_path, [User("J\u00fcrgen", frozenset({Role.OBSERVER}), password_hash=scrypt_of(PASSWORD))])
    directory = UserDirectory(tmp_path)
    assert directory.find("Ju\u0308rgen") == directory.find("J\u00fcrgen") is not None
    assert directory.find("j\u00fcrgen") is None


def test_passwords_of_one_spelling_are_one_password() -> None:
    user = User("x", frozenset(), password_hash=hash_password("pa\u00dfw\u00f6rter", 10))
    assert check_password(user, "pa\u00dfwo\u0308rter")


@pytest.mark.parametrize("password", ["", "anything"])
def test_nobody_and_a_user_without_password_never_match(password: str) -> None:
    assert not check_password(None, password)
    assert not check_password(User("x", frozenset()), password)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", PASSWORD, ["Operator"]), "user name"),
        (("a\nb", PASSWORD, ["Operator"]), "control characters"),
        (("anna", "short", ["Operator"]), "8 characters"),
        (("anna", PASSWORD, ["Admin"]), "allowed: Observer, Operator, Engineer, SecurityAdmin"),
        (("anna", PASSWORD, []), "no role given"),
        (("anna", PASSWORD, ["Operator"], "moon"), "moon"),
    ],
)
def test_a_user_that_is_not_acceptable_is_refused_and_nothing_is_written(
    tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    with pytest.raises(UsersError, match=message):
        UserDirectory(tmp_path).add(*arguments)  # type: ignore[arg-type]  # wrong on purpose
    assert not (tmp_path / "users.toml").exists()


def test_removing_an_unknown_user_names_those_that_exist(tmp_path: Path) -> None:
    write_users(tmp_path, [User("anna", frozenset({Role.OBSERVER}))])
    with pytest.raises(UsersError, match="known: anna"):
        UserDirectory(tmp_path).remove("otto")


def test_a_users_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    write_users(tmp_path, [])
    (tmp_path / "users.toml").chmod(0o644)
    with pytest.raises(UnsafeFileError, match=f"chmod 600 {tmp_path}/users.toml"):
        UserDirectory(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = 2", "version = 2, expected 1"),
        ("version = 1\nuser = 3", "allowed are"),
        ("version = 1\nother = 3", "allowed are"),
        ("version = 1\n[[user]]\nname = 'a'\nroles = ['Boss']", "Boss"),
        ("version = 1\n[[user]]\nname = 'a'\nadmin = true", "allowed keys"),
        ("version = 1\n[[user]]\nname = 'a'\npassword = 'plain'", "Remedy: gridbms users add a"),
        ("version = 1\n[[user]]\nname = 'a'\npassword = 'scrypt$30$8$1$00$00'", "scrypt"),
        ("version = 1\n[[user]]\nname = 'a'\n[[user]]\nname = 'a'", "stands twice"),
        ("version = 1\n[[user]]\nname = 'a'\ncertificates = ['12']", "40 hexadecimal"),
        ("version", "is no TOML"),
    ],
)
def test_a_users_file_with_a_fault_says_where_and_what(text: str, message: str) -> None:
    with pytest.raises(UsersError, match=message) as caught:
        parse_users(text, "users.toml")
    assert "users.toml" in str(caught.value)


def test_every_name_survives_the_file() -> None:
    users = [
        User(name, frozenset({Role.ENGINEER}), certificates=frozenset({"A" * 40}))
        for name in ('q"uo\\te', "\u00e4\u4e2d", "a b")
    ]
    assert list(parse_users(render_users(users), "x").values()) == sorted(users, key=lambda user: user.name)


def test_the_answer_is_held_back_longer_with_every_failure_after_the_third_and_forgotten_in_ten_minutes() -> None:
    clock = Clock()
    delays = FailureDelays(Limits(), clock)
    seen = []
    for _ in range(10):
        seen.append(delays.delay_s("10.0.0.1"))
        delays.failed("10.0.0.1")
    assert seen == [0, 0, 0, 1, 2, 4, 8, 16, 30, 30]
    assert delays.delay_s("10.0.0.2") == 0
    clock.now += 601
    assert delays.delay_s("10.0.0.1") == 0


async def test_the_right_password_still_works_under_attack_after_a_delay(tmp_path: Path) -> None:
    write_users(tmp_path, [User("anna", frozenset({Role.OPERATOR}), password_hash=scrypt_of(PASSWORD))])
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    authenticator = Authenticator(UserDirectory(tmp_path), Limits(), Clock(), sleep)
    for _ in range(5):
        assert await authenticator.check("10.0.0.1", "anna", "wrong") is None
    assert slept == [1, 2]
    assert await authenticator.check("10.0.0.1", "anna", None) is None
    user = await authenticator.check("10.0.0.1", "anna", PASSWORD)
    assert user is not None
    assert slept == [1, 2, 4, 8]
    # The operator at another address is not held back at all: no account is ever locked.
    assert await authenticator.check("10.0.0.2", "anna", PASSWORD) == user
    assert slept == [1, 2, 4, 8]
    authenticator.close()
