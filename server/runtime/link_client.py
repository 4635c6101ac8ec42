"""The client side of the link, for faces: asyncio, any number of requests under way, reconnecting by itself."""

import asyncio
import contextlib
from pathlib import Path

from server.runtime.messages import Answer, MalformedError, Request, decode_answer, frame, split


class LinkDown(Exception):  # noqa: N818 (a state of affairs, not a fault)
    """The core does not answer. `sent` False: the request did not leave; True: its outcome is unknown.

    A request whose outcome is unknown may be asked again with the same id within 60 s: one start of the core does not
    do it twice. The client does not ask again by itself, because another start knows nothing of the id.
    """

    def __init__(self, text: str, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


class LinkClient:
    """One connection, made when needed and again after it was lost."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._waiting: dict[str, asyncio.Future[Answer]] = {}

    @property
    def connected(self) -> bool:
        """Whether there is a connection now; requests make one."""
        return self._writer is not None

    async def request(self, request: Request, timeout: float = 1.0) -> Answer:  # noqa: ASYNC109 (part of the contract)
        """The core's answer within `timeout` seconds, connecting included.

        Raises LinkDown without an answer and ValueError for an id that is under way or a message above 64 kB.
        """
        content = frame(request)
        if request.id in self._waiting:
            raise ValueError(f"link request {request.id}: this id is already under way")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = future
        sent = False
        try:
            async with asyncio.timeout(timeout):
                writer = await self._connect()
                writer.write(content)
                sent = True
                await writer.drain()
                return await future
        except TimeoutError:
            raise LinkDown(f"link {self.path}: no answer within {timeout} s", sent) from None
        except OSError as error:
            raise LinkDown(f"link {self.path}: {error}", sent) from None
        finally:
            self._waiting.pop(request.id, None)
            if future.done() and not future.cancelled():
                future.exception()  # it may have failed while something else was raised

    async def _connect(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is None:
                reader, self._writer = await asyncio.open_unix_connection(str(self.path))
                self._listening = asyncio.create_task(self._listen(reader, self._writer))
            return self._writer

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = bytearray()
        reason = "the core has closed the connection"
        try:
            while received := await reader.read(65536):
                buffer += received
                for body in split(buffer):
                    answer = decode_answer(body)
                    future = self._waiting.get(answer.id)
                    if future is not None and not future.done():
                        future.set_result(answer)
        except (OSError, MalformedError) as error:
            reason = str(error)
        finally:
            self._lose(writer, reason)

    def _lose(self, writer: asyncio.StreamWriter, reason: str) -> None:
        """The connection is gone: whoever waits learns it at once."""
        writer.close()
        if self._writer is writer:
            self._writer = None
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(LinkDown(f"link {self.path}: {reason}", sent=True))

    async def close(self) -> None:
        """End the connection; requests under way raise LinkDown."""
        task, self._listening = self._listening, None
        writer = self._writer
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if writer is not None:
            with contextlib.suppress(OSError):
                await writer.wait_closed()
