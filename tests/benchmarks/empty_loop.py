"""A loop that does nothing, with the priority of the core: what the machine alone makes late.

    python -m tests.benchmarks.empty_loop PERIOD_S

Prints `real-time` or `ordinary`; after a line on standard input the lateness of all turns in seconds, as JSON.
"""

import gc
import json
import select
import sys
import time

from server.runtime.realtime import request_realtime


def main() -> None:
    """See above."""
    period_s = float(sys.argv[1])
    gc.disable()
    print("real-time" if request_realtime().fifo else "ordinary", flush=True)
    found = []
    due = time.monotonic()
    asked = False
    while not asked:
        due += period_s
        while (left := due - time.monotonic()) > 0:
            asked |= bool(select.select([sys.stdin], [], [], left)[0])
            if asked:
                break
        else:
            found.append(time.monotonic() - due)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
