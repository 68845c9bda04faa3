"""An HTTP proxy before an S3 server that answers some requests badly, by a seed.

What happens to a request is a function of (seed, method, path, how often it was seen), not of the order in which
requests arrive.  Every request gets a connection of its own, so that a fault touches no other.
"""

import asyncio
import re
import threading
from collections import Counter
from typing import NamedTuple

from lfiw_ray.core.digest import digest

HOST = "127.0.0.1"
KINDS = ("slow_down", "error", "delay", "reset_request", "reset_answer", "truncate", "lost_answer")
_STATUS = {"slow_down": ("503 Slow Down", "SlowDown"), "error": ("500 Internal Server Error", "InternalError")}
_CHUNK_BYTES = 65_536


class Faults(NamedTuple):
    """Which share of the requests meets a fault, and of which kinds."""

    share: float
    kinds: tuple[str, ...] = KINDS
    seed: int = 0
    delay_s: float = 0.3


class _Request(NamedTuple):
    method: str
    path: str
    head: bytes
    body_bytes: int | None  # None: it comes in chunks, as Arrow's client sends it
    waits: bool  # with its body, until it is told to go on


class FaultyProxy:
    """Listens on `endpoint` until `close`; `injected` counts the faults of each kind, `requests` all requests."""

    def __init__(self, port: int, faults: Faults):
        self._target, self._faults = port, faults
        self.injected: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.answered_bytes = 0
        self._seen: Counter[tuple[str, str]] = Counter()
        self._busy: set[asyncio.Task[None] | None] = set()  # asyncio itself holds its tasks weakly
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, HOST, 0, limit=2**20), self._loop
        ).result()

    @property
    def endpoint(self) -> str:
        """What `AWS_ENDPOINT_URL` is set to."""
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    def set_faults(self, faults: Faults) -> None:
        """From now on, other faults."""
        self._faults = faults

    def close(self) -> None:
        """Stop listening and drop every connection."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        here = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not here]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._busy.add(here := asyncio.current_task())
        try:
            request = _parsed(await reader.readuntil(b"\r\n\r\n"))
            await self._answer(request, reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass  # either side went away, or the proxy closes
        finally:
            writer.close()
            self._busy.discard(here)

    def _fault(self, request: _Request) -> str | None:
        self.requests[request.method] += 1
        name = (request.method, request.path)
        self._seen[name] += 1
        faults = self._faults
        # buckets, places in them and uploads have names of their own each time
        known = re.sub(r"^/[^/?]*|uploadId=[^&]*|\b[0-9a-f]{12}\b", "", request.path)
        number = int(digest([faults.seed, request.method, known, self._seen[name]])[:12], 16)
        if number % 10_000 >= faults.share * 10_000:
            return None
        kind = faults.kinds[number // 10_000 % len(faults.kinds)]
        self.injected[kind] += 1
        return kind

    async def _answer(self, request: _Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind = self._fault(request)
        if kind in _STATUS:
            await _refuse(kind, request, reader, writer)
            return
        if kind in ("delay", "stall"):
            await asyncio.sleep(self._faults.delay_s)
        if request.waits:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        server_reader, server_writer = await asyncio.open_connection(HOST, self._target)
        try:
            server_writer.write(request.head)
            if kind == "reset_request":
                await _copy(reader, server_writer, 1 if request.body_bytes is None else request.body_bytes // 2)
                writer.transport.abort()
                return
            upload = asyncio.create_task(_copy_body(request, reader, server_writer))
            self.answered_bytes += await _reply(kind, server_reader, writer)
            upload.cancel()
            await asyncio.gather(upload, return_exceptions=True)
        finally:
            server_writer.close()


def _parsed(head: bytes) -> _Request:
    """A request's head, with the wish that its connection ends with it."""
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, path, _ = first.split(" ", 2)
    headers = [line for line in lines if not line.lower().startswith(("connection:", "expect:"))]
    lengths = [int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")]
    kept = "\r\n".join([first, *headers, "Connection: close", "", ""]).encode("latin-1")
    waits = any(line.lower().startswith("expect:") for line in lines)
    chunked = any(line.lower().replace(" ", "") == "transfer-encoding:chunked" for line in lines)
    return _Request(method, path, kept, None if chunked else sum(lengths), waits)


async def _refuse(kind: str, request: _Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    status, code = _STATUS[kind]
    if not request.waits:
        assert request.body_bytes is not None, "a body in chunks that is sent without being asked for"
        await reader.readexactly(request.body_bytes)
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
    sent = b"" if request.method == "HEAD" else body
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(sent)}\r\nConnection: close"
    writer.write(head.encode() + b"\r\n\r\n" + sent)
    await writer.drain()


async def _reply(kind: str | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Hand on the server's answer, or a part of it; returns the bytes that were handed on."""
    if kind not in ("reset_answer", "truncate", "lost_answer"):
        return await _copy(reader, writer, None)
    answer, sent = await reader.read(-1), b""
    if kind != "lost_answer":
        head, gap, body = answer.partition(b"\r\n\r\n")
        sent = head + gap + body[: len(body) // 2] if body else answer[: len(answer) // 2]
        writer.write(sent)
        await writer.drain()
    if kind != "truncate":
        writer.transport.abort()
    return len(sent)


async def _copy_body(request: _Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if request.body_bytes is not None:
        await _copy(reader, writer, request.body_bytes)
        return
    size = -1
    while size != 0:  # the last chunk is an empty one
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        writer.write(line + (await reader.readexactly(size + 2) if size else b""))
        await writer.drain()
    while line != b"\r\n":  # lines of a trailer, and an empty one
        line = await reader.readuntil(b"\r\n")
        writer.write(line)
    await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: int | None) -> int:
    """Copy `count` bytes, or all until the end; returns how many there were."""
    copied = 0
    while count is None or copied < count:
        data = await reader.read(_CHUNK_BYTES if count is None else min(count - copied, _CHUNK_BYTES))
        if not data:
            break
        writer.write(data)
        await writer.drain()
        copied += len(data)
    return copied
