"""asyncua's own server as a peer: COUNT Double variables, all written once a second.

    python -m tests.benchmarks.stock_server COUNT ITEMS_FILE

Writes the NodeIds into ITEMS_FILE and prints the endpoint. Its publishing happens while a value is written, so the CPU
time of writing is part of the figure.
"""

import asyncio
import socket
import sys
import time
from datetime import UTC
from pathlib import Path

from asyncua import Server, ua


def free_port() -> int:
    """A port that was free a moment ago: this server cannot pick one itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def main() -> None:
    """See above."""
    count, items = int(sys.argv[1]), Path(sys.argv[2])
    server = Server()
    await server.init()
    endpoint = f"opc.tcp://127.0.0.1:{free_port()}"
    server.set_endpoint(endpoint)
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace("urn:bench")
    folder = await server.nodes.objects.add_folder(index, "Bench")
    nodes = [await folder.add_variable(ua.NodeId.from_string(f"ns={index};s=v{i}"), f"v{i}", 0.0) for i in range(count)]
    items.write_text("\n".join(node.nodeid.to_string() for node in nodes))
    async with server:
        print(endpoint, flush=True)
        due, turn = time.monotonic(), 0
        while True:
            turn += 1
            now = ua.DateTime.now(UTC)
            for node in nodes:
                variant = ua.Variant(float(turn), ua.VariantType.Double)
                value = ua.DataValue(variant, SourceTimestamp=now)
                await server.write_attribute_value(node.nodeid, value)
            due += 1.0
            await asyncio.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    asyncio.run(main())
