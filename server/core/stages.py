"""What the cycle needs of the stage that estimates; a script may put a slower one in its place."""

from typing import Any, Protocol

from server.core.board import Board
from server.core.now import Now


class Estimator(Protocol):
    """Works on what validation let through, and has a memory."""

    def step(self, board: Board, now: Now) -> None:
        """Write the points of this stage."""

    def retained(self) -> dict[str, Any]:
        """What has to survive a restart; JSON-able."""

    def restore(self, body: dict[str, Any], down_s: float) -> None:
        """Take over what `retained` gave, `down_s` seconds later. Raises ValueError where it does not fit."""
