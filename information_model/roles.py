"""Who may do what: four of the well-known roles of OPC 10000-18, 4.3."""

from enum import Enum


class Role(Enum):
    """A role of a user. The value is the name in configuration, users file, log and documentation."""

    OBSERVER = "Observer"
    OPERATOR = "Operator"
    ENGINEER = "Engineer"
    SECURITY_ADMIN = "SecurityAdmin"


class Origin(Enum):
    """Where a user commands from, as in the users file: `station` is the substation, `remote` the control centre."""

    REMOTE = "remote"
    STATION = "station"
    LOCAL = "local"


def parse_role(text: str) -> Role:
    """Role of a name; ValueError names what is allowed (an unknown role is refused, never guessed)."""
    try:
        return Role(text)
    except ValueError:
        allowed = ", ".join(role.value for role in Role)
        raise ValueError(f"role {text!r} is not known; allowed: {allowed}") from None
