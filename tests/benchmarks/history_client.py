"""A client that reads the whole history of one node through continuation points and counts values without decoding them.

    python -m tests.benchmarks.history_client ENDPOINT MODE ITEMS_FILE COUNT PER_PAGE [FOLDER]

Prints `ready`; for each line on standard input it reads once and prints values, pages and seconds as JSON. COUNT is
how many values there must be; PER_PAGE 0 leaves the size of a page to the server.
"""

import asyncio
import json
import struct
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from asyncua import Client, ua

from tests.benchmarks.counting_client import response_body
from tests.benchmarks.credentials import make_client, send

START = datetime(2000, 1, 1, tzinfo=UTC)
END = datetime(2100, 1, 1, tzinfo=UTC)
GOOD = (0, 0x00A6_0000)  # Good, GoodMoreData


def count_values(data: bytes) -> tuple[int, bytes]:
    """(values, continuation point) of an encoded HistoryReadResponse with one result, behind its ResponseHeader."""
    results, code, length = struct.unpack_from("<iIi", data)
    if results != 1 or code not in GOOD:
        raise ConnectionError(f"{results} results, status 0x{code:08X}")
    at = 12 + max(0, length)
    point = data[12:at]
    at += {0: 2, 1: 4, 2: 7}[data[at]]
    if not data[at]:
        return 0, point
    return int(struct.unpack_from("<i", data, at + 5)[0]), point


async def read_all(client: Client, node: ua.NodeId, per_page: int) -> tuple[int, int]:
    """(values, pages) of the whole history."""
    details = ua.ReadRawModifiedDetails()
    details.StartTime, details.EndTime, details.NumValuesPerNode = START, END, per_page
    details.IsReadModified = details.ReturnBounds = False
    point, values, pages = b"", 0, 0
    while True:
        value = ua.HistoryReadValueId()
        value.NodeId, value.ContinuationPoint = node, point or None
        request = ua.HistoryReadRequest()
        request.Parameters.HistoryReadDetails = details
        request.Parameters.ReleaseContinuationPoints = False
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Source
        request.Parameters.NodesToRead.append(value)
        found, point = count_values(response_body(await send(client, request)))
        values += found
        pages += 1
        if not point:
            return values, pages


async def main() -> None:
    """See above."""
    endpoint, mode, items, wanted, per_page = sys.argv[1:6]
    client = await make_client(endpoint, mode, Path(sys.argv[6]) if len(sys.argv) > 6 else None)
    node = ua.NodeId.from_string(Path(items).read_text().split()[0])
    async with client:
        print("ready", flush=True)
        while await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
            began = time.monotonic()
            values, pages = await read_all(client, node, int(per_page))
            took = time.monotonic() - began
            if values != int(wanted):
                raise ConnectionError(f"{values} values, expected {wanted}")
            print(json.dumps({"values": values, "pages": pages, "seconds": took}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
