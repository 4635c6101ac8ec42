"""Clients that count notifications without decoding them: one that decoded 100,000 a second would be the limit.

    python -m tests.benchmarks.counting_client ENDPOINT CLIENTS MODE ITEMS_FILE QUEUE SAMPLING_MS PUBLISHING_MS [FOLDER]

Prints `ready` after all first values; for each line on standard input `begin`, then, after the next line, what came
in between as one line of JSON. FOLDER holds the credentials; without it the client is anonymous.
"""

import asyncio
import json
import struct
import sys
import time
from pathlib import Path

from asyncua import Client, ua

from tests.benchmarks.credentials import NONE, make_client, send

BATCH = 1000
PUBLISH_REQUESTS = 3
RESULT_AT, BODY_AT = 16, 28
"""Type id (4 bytes), time (8), handle (4), result (4), diagnostics (1), strings (4), additional header (3)."""


def count_notifications(data: bytes) -> tuple[int, int, int]:
    """(subscription, sequence number, notifications) of an encoded PublishResponse behind its ResponseHeader."""
    at = 0
    (subscription,) = struct.unpack_from("<I", data, at)
    (available,) = struct.unpack_from("<i", data, at + 4)
    at += 8 + 4 * max(0, available) + 1
    sequence, _, parts = struct.unpack_from("<Iqi", data, at)
    at += 16
    found = 0
    for _ in range(max(0, parts)):
        kind = data[at]
        at += {0: 2, 1: 4, 2: 7}[kind]
        encoding = data[at]
        at += 1
        if encoding:
            (length,) = struct.unpack_from("<i", data, at)
            found += struct.unpack_from("<i", data, at + 4)[0]
            at += 4 + length
    return subscription, sequence, found


def response_body(data: bytes) -> bytes:
    """A response behind type id and ResponseHeader (without diagnostics); ConnectionError for a service result."""
    (code,) = struct.unpack_from("<I", data, RESULT_AT)
    if code:
        raise ConnectionError(f"service result 0x{code:08X}")
    return data[BODY_AT:]


class Counter:
    """One client: keeps publish requests under way and counts what comes back."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.notifications = self.responses = 0
        self._acknowledge: list[ua.SubscriptionAcknowledgement] = []

    async def subscribe(self, items: list[str], queue: int, sampling_ms: float, publishing_ms: float) -> None:
        """One subscription for all items."""
        create = ua.CreateSubscriptionRequest()
        create.Parameters = ua.CreateSubscriptionParameters(publishing_ms, 10_000, 100, 0, True, 0)
        (number,) = struct.unpack_from("<I", response_body(await send(self._client, create)))
        for first in range(0, len(items), BATCH):
            wanted = _items(number, items[first : first + BATCH], first, queue, sampling_ms)
            for result in await self._client.uaclient.create_monitored_items(wanted):
                result.StatusCode.check()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            request = ua.PublishRequest()
            request.Parameters.SubscriptionAcknowledgements = self._acknowledge
            self._acknowledge = []
            subscription, sequence, found = count_notifications(response_body(await send(self._client, request)))
            self.notifications += found
            self.responses += 1
            if found:
                self._acknowledge.append(ua.SubscriptionAcknowledgement(subscription, sequence))


def _items(
    subscription: int, names: list[str], first: int, queue: int, sampling_ms: float
) -> ua.CreateMonitoredItemsParameters:
    parameters = ua.CreateMonitoredItemsParameters()
    parameters.SubscriptionId = subscription
    parameters.TimestampsToReturn = ua.TimestampsToReturn.Source
    for i, name in enumerate(names):
        item = ua.MonitoredItemCreateRequest()
        item.ItemToMonitor.NodeId = ua.NodeId.from_string(name)
        item.ItemToMonitor.AttributeId = ua.AttributeIds.Value
        item.MonitoringMode = ua.MonitoringMode.Reporting
        item.RequestedParameters = ua.MonitoringParameters(first + i + 1, sampling_ms, None, queue, True)
        parameters.ItemsToCreate.append(item)
    return parameters


async def main() -> None:
    """See above."""
    endpoint, clients, mode, items_file, queue, sampling, publishing = sys.argv[1:8]
    folder = Path(sys.argv[8]) if len(sys.argv) > 8 else None
    items = Path(items_file).read_text().split()
    counters, tasks = [], []
    connected = []
    for _ in range(int(clients)):
        client = await make_client(endpoint, mode or NONE, folder)
        await client.connect()
        connected.append(client)
        counter = Counter(client)
        await counter.subscribe(items, int(queue), float(sampling), float(publishing))
        counters.append(counter)
        tasks += [asyncio.create_task(counter.run()) for _ in range(PUBLISH_REQUESTS)]
    while any(counter.notifications < len(items) for counter in counters):
        _raise_of(tasks)
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        before = [(counter.notifications, counter.responses) for counter in counters]
        began = time.monotonic()
        print("begin", flush=True)
        await loop.run_in_executor(None, sys.stdin.readline)
        _raise_of(tasks)
        result = {
            "notifications": sum(counter.notifications for counter in counters) - sum(n for n, _ in before),
            "responses": sum(counter.responses for counter in counters) - sum(r for _, r in before),
            "seconds": time.monotonic() - began,
        }
        print(json.dumps(result), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for client in connected:
        await client.disconnect()


def _raise_of(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()


if __name__ == "__main__":
    asyncio.run(main())
