"""`gridbms replay`: a captured log through the path that frames from a bus take, and what comes out of it."""

import time
from pathlib import Path

import numpy as np
import typer

from information_model.quality import Quality
from server.config.maps import find_map

PROGRESS_S = 2.0


def replay(
    file: Path = typer.Argument(help="Capture: candump (.log) or GVRET (.csv), also .gz."),
    device_map: str = typer.Option(..., "--map", help="Device map (TOML): a path, or one that comes with the program."),
    node: int = typer.Option(0, "--node", help="Node of the device, where the map has a node offset."),
    speed: float = typer.Option(0.0, "--speed", min=0.0, help="1 is real time, 0 as fast as it goes."),
) -> None:
    """Decode a capture and show the last value of every point, its quality and its time in the capture."""
    # The other commands start faster without these.
    from adapters.api import BusSpec, SourceSpec
    from adapters.can.pipeline import FramePipeline
    from adapters.replay.captures import CaptureReport
    from adapters.replay.play import play

    found = find_map(device_map, Path())
    source = SourceSpec("ESS.ARR01.R001", node, found, 0)
    pipeline = FramePipeline(BusSpec("capture", "replay", {}, (source,)))
    report = CaptureReport()
    n = found.slot_count
    value, stamp, quality = np.full(n, np.nan), np.zeros(n, np.int64), np.full(n, Quality.WAITING, np.uint8)
    samples = np.zeros(n, np.int64)
    began = time.monotonic()
    now_ns = 0
    told = began
    try:
        for now_ns, batch in play(file, pipeline, report, speed=speed or 1.0):
            if speed:
                time.sleep(max(0.0, began + now_ns / 1e9 - time.monotonic()))
            if time.monotonic() - told > PROGRESS_S:
                told = time.monotonic()
                typer.echo(f"{now_ns / 1e9:.1f} s of the capture; {pipeline.counters}", err=True)
            value[batch.slot], stamp[batch.slot], quality[batch.slot] = batch.value, batch.mono_ns, batch.quality
            np.add.at(samples, batch.slot, 1)
    except KeyboardInterrupt:  # what was decoded so far is worth showing
        typer.echo("stopped early", err=True)
    typer.echo(f"{file}: {now_ns / 1e9:.2f} s; {report}; {pipeline.counters}")
    typer.echo(f"{'point':40} {'element':>7} {'value':>12} {'quality':>10} {'time s':>9} {'samples':>8}")
    units = {point.point: point.unit for point in (*found.matrix, *found.scalar)}
    for point, first, count, _, _ in found.slots():
        for i in range(first, first + count):
            element = str(i - first + 1) if count > 1 else ""
            name = Quality(int(quality[i])).name.lower()
            shown = f"{value[i]:.4f} {units[point]}"
            typer.echo(f"{point:40} {element:>7} {shown:>12} {name:>10} {stamp[i] / 1e9:9.3f} {samples[i]:8d}")
