"""What a face tells the supervisor when it serves: its endpoint, as a small file in the run directory."""

import json
import os
from collections.abc import Mapping
from pathlib import Path


def serving_path(run: Path, face: str) -> Path:
    """Where a face tells the supervisor its endpoint."""
    return run / f"serving-{face}.json"


def tell_serving(run: Path, face: str, facts: Mapping[str, object]) -> None:
    """A face serves: its endpoint, as it will stand in ready.json."""
    write_whole(serving_path(run, face), facts)


def served_port(run: Path, face: str) -> int:
    """Port that a face has served on since the program started; 0 where it has not yet."""
    try:
        return int(json.loads(serving_path(run, face).read_text())["port"])
    except (FileNotFoundError, KeyError, ValueError):
        return 0


def write_whole(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file that a reader sees whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(part, path)
