"""Users of the server: the versioned file `users.toml`, password hashes, roles and origin.

Passwords are hashed with scrypt (RFC 7914), N = 2^15, r = 8, p = 1, 16 random bytes of salt: about 0.1 s and 32 MB a
check, which a two-core machine bears under attack. A user name is compared in NFC and is case-sensitive.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from information_model.roles import Origin, Role, parse_role
from server.pki.files import read_private, write_private

FILE_NAME = "users.toml"
FORMAT_VERSION = 1
SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P = 15, 8, 1
SALT_BYTES, HASH_BYTES = 16, 32
MEMORY_BYTES = 64 << 20
MAXIMUM_NAME = 64
MAXIMUM_PASSWORD_BYTES = 1024
MINIMUM_PASSWORD = 8
THUMBPRINT = re.compile(r"[0-9A-F]{40}")


class UsersError(Exception):
    """The users file or a change to it is not acceptable; the message says what, where and how to mend it."""


@dataclass(frozen=True)
class User:
    """One person or program that may open a session. The hash is not shown by `repr`."""

    name: str
    roles: frozenset[Role]
    origin: Origin = Origin.REMOTE
    password_hash: str = field(default="", repr=False)
    certificates: frozenset[str] = frozenset()
    """SHA-1 thumbprints of the X.509 certificates by which this user may identify itself."""


ANONYMOUS = User("", frozenset())


def normalise(name: str) -> str:
    """User name in NFC, the form in which names are stored and compared."""
    return unicodedata.normalize("NFC", name)


def hash_password(password: str, log_n: int = SCRYPT_LOG_N) -> str:
    """`scrypt$15$8$1$<salt>$<hash>`, both in hex."""
    salt = secrets.token_bytes(SALT_BYTES)
    return (
        f"scrypt${log_n}${SCRYPT_R}${SCRYPT_P}${salt.hex()}${_scrypt(password, salt, log_n, SCRYPT_R, SCRYPT_P).hex()}"
    )


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    secret = unicodedata.normalize("NFC", password).encode()
    return hashlib.scrypt(secret, salt=salt, n=1 << log_n, r=r, p=p, maxmem=MEMORY_BYTES, dklen=HASH_BYTES)


def _parse_hash(text: str) -> tuple[int, int, int, bytes, bytes]:
    kind, *numbers, salt, digest = text.split("$")
    log_n, r, p = (int(number) for number in numbers)
    # Bounded, so that a file cannot ask for more memory than a check may take.
    if kind != "scrypt" or not (10 <= log_n <= 15 and r == SCRYPT_R and p == SCRYPT_P):
        raise ValueError("expected scrypt$<10..15>$8$1$<salt>$<hash>")
    pair = bytes.fromhex(salt), bytes.fromhex(digest)
    if len(pair[0]) < SALT_BYTES or len(pair[1]) != HASH_BYTES:
        raise ValueError("salt or hash has a wrong length")
    return log_n, r, p, *pair


_DUMMY_SALT, _DUMMY_HASH = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(HASH_BYTES)
"""Checked for names that do not exist, so that they cost the same time; the password is random and forgotten."""


def check_password(user: User | None, password: str) -> bool:
    """Compare a password in constant time. Takes about 0.1 s for known and unknown users alike: run it in a thread."""
    known = user is not None and bool(user.password_hash)
    if user is not None and known:
        log_n, r, p, salt, expected = _parse_hash(user.password_hash)
    else:
        log_n, r, p, salt, expected = SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P, _DUMMY_SALT, _DUMMY_HASH
    found = _scrypt(password, salt, log_n, r, p)
    return hmac.compare_digest(found, expected) and known


class UserDirectory:
    """The users of one data directory. Reads `users.toml`; changes are written at once."""

    def __init__(self, data: Path) -> None:
        self.path = data / FILE_NAME
        self._stamp: tuple[int, int] | None = None
        self._users: Mapping[str, User] = {}
        self.reload()

    def reload(self) -> bool:
        """Read the file when its time or size changed; True when the users may have changed. Does file I/O.

        Raises:
            UnsafeFileError: others can read the file, or it is a symbolic link.
            UsersError: the file does not parse, or is of another version.
        """
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            changed, self._stamp, self._users = self._stamp is not None, None, {}
            return changed
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp == self._stamp:
            return False
        users = parse_users(read_private(self.path).decode("utf-8", "replace"), str(self.path))
        self._users, self._stamp = users, stamp
        return True

    def find(self, name: str) -> User | None:
        """User of that name, None when there is none."""
        return self._users.get(normalise(name))

    def find_by_certificate(self, thumbprint: str) -> User | None:
        """User who identifies by the certificate with this SHA-1 thumbprint."""
        return next((user for user in self._users.values() if thumbprint in user.certificates), None)

    def list(self) -> list[User]:
        """All users by name."""
        return sorted(self._users.values(), key=lambda user: user.name)

    def add(
        self,
        name: str,
        password: str,
        roles: Iterable[Role | str],
        origin: Origin | str = Origin.REMOTE,
        certificates: Iterable[str] = (),
    ) -> User:
        """Add a user, or give an existing one a new password, roles and origin. Takes one scrypt run."""
        name = normalise(name)
        _check_name(name)
        if len(password) < MINIMUM_PASSWORD or len(password.encode()) > MAXIMUM_PASSWORD_BYTES:
            raise UsersError(
                f"password of user {name!r}: {len(password)} characters given, expected {MINIMUM_PASSWORD} "
                f"characters to {MAXIMUM_PASSWORD_BYTES} bytes"
            )
        try:
            wanted = frozenset(role if isinstance(role, Role) else parse_role(role) for role in roles)
            where = origin if isinstance(origin, Origin) else Origin(origin)
        except ValueError as error:
            raise UsersError(f"user {name!r}: {error}") from error
        if not wanted:
            raise UsersError(f"user {name!r}: no role given; allowed: {', '.join(role.value for role in Role)}")
        self.reload()
        user = User(name, wanted, where, hash_password(password), _thumbprints(certificates, f"user {name!r}"))
        self._write({**self._users, name: user})
        return user

    def remove(self, name: str) -> None:
        """Remove a user; a running server closes its sessions within two seconds."""
        self.reload()
        name = normalise(name)
        if name not in self._users:
            known = ", ".join(sorted(self._users)) or "none"
            raise UsersError(f"user {name!r} does not exist; known: {known}")
        self._write({key: user for key, user in self._users.items() if key != name})

    def _write(self, users: Mapping[str, User]) -> None:
        write_private(self.path, render_users(users.values()).encode())
        self.reload()


def render_users(users: Iterable[User]) -> str:
    """Text of `users.toml`."""
    lines = ["# Users of gridbms; change with: gridbms users add|remove", f"version = {FORMAT_VERSION}"]
    for user in sorted(users, key=lambda item: item.name):
        # JSON strings are TOML basic strings, once the one character that only TOML wants escaped is escaped.
        lines += [
            "",
            "[[user]]",
            f"name = {_quote(user.name)}",
            f"roles = [{', '.join(_quote(role) for role in sorted(role.value for role in user.roles))}]",
            f"origin = {_quote(user.origin.value)}",
            f"password = {_quote(user.password_hash)}",
        ]
        if user.certificates:
            lines.append(f"certificates = [{', '.join(_quote(mark) for mark in sorted(user.certificates))}]")
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def parse_users(text: str, where: str) -> dict[str, User]:
    """Users by name from the text of the file; `where` names it in errors."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsersError(
            f"{where}: is no TOML ({error}). Remedy: mend it, or remove it and add the users again"
        ) from error
    if document.get("version") != FORMAT_VERSION:
        raise UsersError(
            f"{where}: version = {document.get('version')!r}, expected {FORMAT_VERSION}. "
            f"Remedy: use the gridbms release that wrote it, or add the users again"
        )
    rows = document.get("user", [])
    if not isinstance(rows, list) or document.keys() - {"version", "user"}:
        raise UsersError(f"{where}: allowed are 'version' and tables [[user]]; found {sorted(document)}")
    users: dict[str, User] = {}
    for number, row in enumerate(rows, start=1):
        user = _parse_user(row, f"{where}: user {number}")
        if user.name in users:
            raise UsersError(f"{where}: user {number}: name {user.name!r} stands twice")
        users[user.name] = user
    return users


def _parse_user(row: object, where: str) -> User:
    if not isinstance(row, dict) or row.keys() - {"name", "roles", "origin", "password", "certificates"}:
        raise UsersError(f"{where}: allowed keys are name, roles, origin, password, certificates")
    name, password = row.get("name"), row.get("password", "")
    roles, certificates = row.get("roles", []), row.get("certificates", [])
    if not isinstance(name, str) or not isinstance(password, str):
        raise UsersError(f"{where}: name and password must be texts")
    if not isinstance(roles, list) or not isinstance(certificates, list):
        raise UsersError(f"{where} ({name!r}): roles and certificates must be lists")
    name = normalise(name)
    _check_name(name)
    try:
        parsed = frozenset(parse_role(str(role)) for role in roles)
        origin = Origin(row.get("origin", Origin.REMOTE.value))
        if password:
            _parse_hash(password)
    except ValueError as error:
        # The message of a hash that does not parse never shows the hash.
        raise UsersError(f"{where} ({name!r}): {error}. Remedy: gridbms users add {name}") from error
    return User(name, parsed, origin, password, _thumbprints(certificates, f"{where} ({name!r})"))


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= MAXIMUM_NAME or any(unicodedata.category(char).startswith("C") for char in name):
        raise UsersError(f"user name {name!r}: expected 1 to {MAXIMUM_NAME} characters without control characters")


def _thumbprints(marks: Iterable[object], where: str) -> frozenset[str]:
    found = frozenset(re.sub(r"[\s:]", "", str(mark)).upper() for mark in marks)
    wrong = [mark for mark in found if not THUMBPRINT.fullmatch(mark)]
    if wrong:
        raise UsersError(f"{where}: certificates = {wrong}, expected SHA-1 thumbprints of 40 hexadecimal digits")
    return found
