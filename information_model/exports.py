"""The point list of a site as rows, CSV and Markdown. The columns are frozen in docs/formats.md."""

import csv
import io
from collections.abc import Iterator, Mapping

from information_model.catalogue import Catalogue, Row
from information_model.expressions import evaluate
from information_model.points.row import Kind, Level
from information_model.topology import Element

COLUMNS = (
    "node_id",
    "level",
    "path",
    "kind",
    "data_type",
    "array_dimensions",
    "unit",
    "unece_code",
    "range_low",
    "range_high",
    "step",
    "deadband",
    "period_s",
    "stale_after_s",
    "history",
    "aggregation",
    "iec61850",
    "sunspec",
    "write_role",
    "description",
)
"""Columns of `points --format csv`: one row per point of the site."""

Names = Mapping[str, Mapping[str, float]]


def rows(catalogue: Catalogue, names: Names, iec_prefix: str = "") -> Iterator[dict[str, str]]:
    """One dictionary per point, elements breadth first."""
    for element, row in catalogue.points():
        yield _row(catalogue, element, row, names[element.name], iec_prefix)


def _row(
    catalogue: Catalogue, element: Element, row: Row, names: Mapping[str, float], iec_prefix: str
) -> dict[str, str]:
    point = row.point
    dimensions = ""
    if point.kind in (Kind.CELLS, Kind.PROBES):
        shape = catalogue.topology.shapes[element.rack]
        width = shape.cells_per_module if point.kind is Kind.CELLS else shape.probes_per_module
        dimensions = f"{shape.modules}x{width}" if element.level is Level.RACK else f"{width}"

    def bound(expression: str | None) -> str:
        return "" if expression is None else number(evaluate(expression, names))

    return {
        "node_id": f"{element.name}.{point.path}",
        "level": element.level.name.lower(),
        "path": point.path,
        "kind": point.kind.value,
        "data_type": point.data_type,
        "array_dimensions": dimensions,
        "unit": point.unit.symbol if point.unit else "",
        "unece_code": point.unit.unece if point.unit else "",
        "range_low": bound(point.low),
        "range_high": bound(point.high),
        "step": number(point.step),
        "deadband": number(point.deadband),
        "period_s": number(point.period_s),
        "stale_after_s": number(point.stale_after_s),
        "history": "none" if row.constant else point.history.value,
        "aggregation": point.aggregation.value,
        "iec61850": iec61850_reference(catalogue, element, point.iec61850, iec_prefix),
        "sunspec": point.sunspec,
        "write_role": point.write_role.value if point.write_role else "",
        "description": point.text,
    }


def number(value: float) -> str:
    """Shortest text of a number."""
    return f"{value:.12g}"


def iec61850_reference(catalogue: Catalogue, element: Element, template: str, prefix: str) -> str:
    """References of a point on the IEC 61850 face: the table's text with the numbers of the element."""
    if not template:
        return ""
    of = {e.level: e.number for e in (element, *catalogue.topology.ancestors(element))}
    text = template.replace("{a}", f"{of.get(Level.ARRAY, 0):02}").replace("{r}", f"{of.get(Level.RACK, 0):03}")
    return ";".join(prefix + part for part in text.replace("{m}", str(of.get(Level.MODULE, 0))).split(";"))


def as_csv(catalogue: Catalogue, names: Names, iec_prefix: str = "") -> str:
    """The list as CSV with a header."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(catalogue, names, iec_prefix))
    return out.getvalue()


def as_markdown(catalogue: Catalogue, names: Names, iec_prefix: str = "") -> str:
    """The list as a Markdown table."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " -- |" * len(COLUMNS)]
    for row in rows(catalogue, names, iec_prefix):
        lines.append("| " + " | ".join(row[column].replace("|", "\\|") for column in COLUMNS) + " |")
    return "\n".join(lines) + "\n"
