"""The real OPC UA face in a process of its own, over an image that somebody else writes.

    python -m tests.benchmarks.face_process KIND SITE RUN DATA

KIND is `bench` (the Doubles of the site only) or `site`. Prints the endpoint; for each line on standard input the
counts of the publishing engine, as JSON.
"""

import json
import os
import sys
import threading
from pathlib import Path

from server.config.site import load_site
from server.opcua import face
from server.runtime.parent import Beat
from tests.benchmarks.bench_site import load_bench_site

RUNNING: list[face.Face] = []


class SeenFace(face.Face):
    """The face, kept where its counts can be asked for."""

    async def build(self) -> None:
        """As it is."""
        await super().build()
        RUNNING.append(self)


def tell(run: Path) -> None:
    """Endpoint first, then counts."""
    serving = run / "serving-opcua.json"
    while not serving.exists():
        threading.Event().wait(0.02)
    print(f"opc.tcp://127.0.0.1:{json.loads(serving.read_text())['port']}", flush=True)
    for _ in sys.stdin:
        engine = RUNNING[0].engine
        print(json.dumps(engine.registry.counts() if engine is not None else {}), flush=True)


def main() -> None:
    """See above."""
    kind, site_file, run, data = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    site = load_bench_site(site_file) if kind == "bench" else load_site(site_file)
    _, beat = os.pipe()
    face.Face = SeenFace  # type: ignore[misc]  # the same class, observed
    threading.Thread(target=tell, args=(run,), daemon=True).start()
    face.run_opcua(site, run, data, Beat(beat), "127.0.0.1", 0)


if __name__ == "__main__":
    main()
