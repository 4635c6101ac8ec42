"""A client that notes how old each value is when it arrives in the callback.

    python -m tests.benchmarks.latency_client ENDPOINT FOLDER ITEMS_FILE COUNT

Prints the ages in seconds as JSON, after COUNT notifications behind the first values.
"""

import asyncio
import json
import sys
import time
from datetime import UTC
from pathlib import Path
from typing import Any

from asyncua import ua

from tests.benchmarks.credentials import SIGN_AND_ENCRYPT, make_client

SAMPLING_MS = PUBLISHING_MS = 100.0
SETTLE_S = 2.0
PATIENCE_S = 120.0


class Ages:
    """Handler of the subscription."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self.found: list[float] = []
        self.since = float("inf")
        self.enough = asyncio.Event()

    def datachange_notification(self, node: object, value: object, data: Any) -> None:
        """One notification."""
        now = time.time()
        if time.monotonic() < self.since:
            return
        source = data.monitored_item.Value.SourceTimestamp
        self.found.append(now - source.replace(tzinfo=UTC).timestamp())
        if len(self.found) >= self._wanted:
            self.enough.set()


async def main() -> None:
    """See above."""
    names, count = Path(sys.argv[3]).read_text().split(), int(sys.argv[4])
    client = await make_client(sys.argv[1], SIGN_AND_ENCRYPT, Path(sys.argv[2]))
    async with client:
        ages = Ages(count)
        subscription = await client.create_subscription(PUBLISHING_MS, ages)
        nodes = [client.get_node(name) for name in names]
        await subscription.subscribe_data_change(nodes, sampling_interval=ua.Double(SAMPLING_MS))
        ages.since = time.monotonic() + SETTLE_S
        async with asyncio.timeout(PATIENCE_S):
            await ages.enough.wait()
        print(json.dumps(ages.found[:count]), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
