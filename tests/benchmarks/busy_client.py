"""A client that browses the whole site and reads history without pause.

    python -m tests.benchmarks.busy_client ENDPOINT FOLDER POINT ...

POINTs are points with history. Prints `ready` after the first round, and what it has done when standard input says so.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from asyncua import Client, ua

from tests.benchmarks.credentials import SIGN_AND_ENCRYPT, make_client

HISTORY_S = 600
ROOT_ELEMENT = "ns=3;s=ESS"
BATCH = 20
HIERARCHICAL = "i=33"
"""HierarchicalReferences (OPC 10000-6, A.1)."""


class Busy:
    """One client; `turn` is one round."""

    def __init__(self, client: Client, points: list[str]) -> None:
        self._client, self._points = client, points
        self.references = self.reads = self.rounds = 0

    async def turn(self, said: asyncio.Event) -> None:
        """Browse everything; after each batch of nodes read the history of a point."""
        waiting = [ua.NodeId.from_string(ROOT_ELEMENT)]
        while waiting and not said.is_set():
            batch, waiting = waiting[:BATCH], waiting[BATCH:]
            waiting += await self._browse(batch)
            await self._history(self._points[self.reads % len(self._points)])
        self.rounds += 1

    async def _browse(self, nodes: list[ua.NodeId]) -> list[ua.NodeId]:
        parameters = ua.BrowseParameters()
        for node in nodes:
            wanted = ua.BrowseDescription()
            wanted.NodeId = node
            wanted.BrowseDirection = ua.BrowseDirection.Forward
            wanted.ReferenceTypeId = ua.NodeId.from_string(HIERARCHICAL)
            wanted.IncludeSubtypes = True
            wanted.ResultMask = ua.BrowseResultMask.All
            parameters.NodesToBrowse.append(wanted)
        found = []
        for result in await self._client.uaclient.browse(parameters):
            self.references += len(result.References)
            found += [one.NodeId for one in result.References if one.NodeClass == ua.NodeClass.Object]
        return [node for node in found if node.NamespaceIndex == 3]

    async def _history(self, point: str) -> None:
        details = ua.ReadRawModifiedDetails()
        details.EndTime = datetime.now(UTC)
        details.StartTime = details.EndTime - timedelta(seconds=HISTORY_S)
        details.NumValuesPerNode = 0
        details.IsReadModified = details.ReturnBounds = False
        value = ua.HistoryReadValueId()
        value.NodeId = ua.NodeId.from_string(point)
        parameters = ua.HistoryReadParameters()
        parameters.HistoryReadDetails = details
        parameters.ReleaseContinuationPoints = False
        parameters.TimestampsToReturn = ua.TimestampsToReturn.Source
        parameters.NodesToRead.append(value)
        for result in await self._client.uaclient.history_read(parameters):
            result.StatusCode.check()
        self.reads += 1


async def main() -> None:
    """See above."""
    client = await make_client(sys.argv[1], SIGN_AND_ENCRYPT, Path(sys.argv[2]))
    said = asyncio.Event()
    async with client:
        busy = Busy(client, sys.argv[3:])
        await busy.turn(said)
        print("ready", flush=True)
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin, said.set)
        while not said.is_set():
            await busy.turn(said)
        loop.remove_reader(sys.stdin)
    print(json.dumps({"references": busy.references, "reads": busy.reads, "rounds": busy.rounds}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
