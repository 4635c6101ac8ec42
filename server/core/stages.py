"""The stages of the cycle that turn inputs into estimates, as the cycle needs them."""

from collections.abc import Sequence
from typing import Any, Protocol

from server.core.blocks import InputBlock
from server.core.now import Now
from server.core.working import Working


class FieldStage(Protocol):
    """Works on the input blocks: validation, communication."""

    def step(self, blocks: Sequence[InputBlock], working: Working, now: Now) -> None:
        """Write the points of this stage."""


class Estimator(Protocol):
    """Works on what validation let through, and has a memory."""

    def step(self, working: Working, now: Now) -> None:
        """Write the points of this stage."""

    def retained(self) -> dict[str, Any]:
        """What has to survive a restart; JSON-able."""

    def restore(self, body: dict[str, Any], down_s: float) -> None:
        """Take over what `retained` gave, `down_s` seconds later. Raises ValueError where it does not fit."""
