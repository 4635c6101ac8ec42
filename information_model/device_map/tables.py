"""What all tables of a device map have in common: strict types, and tables of codes."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Byte = Annotated[int, Field(ge=0, le=255)]


class Table(BaseModel):
    """Every table of a map: strict types, unknown keys refused, never changed, nan and inf refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def code_table(codes: dict[str, float]) -> dict[int, float]:
    """Keys of a TOML table are text; 3 and 0x3 are the same code. ValueError for one that is no number, or given twice."""
    try:
        table = {int(key, 0): value for key, value in codes.items()}
    except ValueError as error:
        raise ValueError("whole numbers as keys | Write for example { 0 = 1, 0x10 = 2 }.") from error
    if len(table) < len(codes):
        raise ValueError("each code once | The same number stands there in two ways of writing.")
    return table
