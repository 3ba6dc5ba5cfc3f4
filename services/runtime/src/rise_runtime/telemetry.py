"""What a process tells its operators: log lines, metrics, and whether it is well.

Metrics and health are served over plain HTTP on a port that is chosen, or not at all: ``/metrics`` (Prometheus),
``/healthz`` (the process turns), ``/readyz`` (it takes work). Health says nothing but yes or no, and is for everybody;
metrics are for this machine, or for whoever a `Guard` lets in.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TextIO

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

from rise_contracts import errors
from rise_runtime import guard as guards
from rise_runtime.guard import Guard

METRICS_PATH = "/metrics"
HEALTH_PATHS = (METRICS_PATH, "/healthz", "/readyz")
HEAD_LIMIT = 16 * 1024
"""Bytes of a request."""
CONNECTIONS = 256
"""More at once are hung up on."""
_LOCAL = Guard("RISE_METRICS")
EXCHANGE_S = 5.0
"""Seconds in which a request has come, and its answer has gone."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

STAGES = Counter("rise_stages_total", "Stages by how they went.", ("tier", "member", "result"))
STAGE_SECONDS = Histogram("rise_stage_seconds", "Seconds of a stage.", ("tier", "member"), buckets=_SECONDS)
HANDOFF_BYTES = Counter("rise_handoff_bytes_total", "Bytes of latents handed over.", ("dtype",))
HANDOFF_SECONDS = Histogram("rise_handoff_seconds", "Seconds until a handoff was stored.", buckets=_SECONDS)
JOBS = Counter("rise_jobs_total", "Jobs by how they ended.", ("result",))
JOB_SECONDS = Histogram("rise_job_seconds", "Seconds from acceptance to the end.", ("result",), buckets=_SECONDS)
ATTEMPTS_FAILED = Counter("rise_attempts_failed_total", "Attempts that another one followed.", ("reason",))
OFFERS = Counter("rise_offers_total", "What devices offered, by what became of it.", ("result",))


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and the trace where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure_logging(environment: Mapping[str, str] = os.environ, stream: TextIO = sys.stderr) -> None:
    """Log to `stream`. RISE_LOG_LEVEL (INFO) says how much, RISE_LOG_FORMAT (text, json) how.

    Raises InvalidInput for a level or format that does not exist.
    """
    level = (environment.get("RISE_LOG_LEVEL") or "INFO").upper()
    levels = logging.getLevelNamesMapping()
    if level not in levels:
        raise errors.UnknownName("log level", level, [name for name in levels if name != "NOTSET"], "RISE_LOG_LEVEL")
    shape = environment.get("RISE_LOG_FORMAT") or "text"
    if shape not in ("text", "json"):
        raise errors.UnknownName("log format", shape, ["text", "json"], "RISE_LOG_FORMAT")
    handler = logging.StreamHandler(stream)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonLines() if shape == "json" else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def health_address(environment: Mapping[str, str] = os.environ) -> tuple[str, int] | None:
    """Where RISE_HEALTH ("port" or "host:port") wants health served; None where it is not set. Raises InvalidInput."""
    return read_address("RISE_HEALTH", environment.get("RISE_HEALTH", ""))


def read_address(field: str, text: str) -> tuple[str, int] | None:
    """The address in `text`, "port" or "host:port"; None where it is empty. A bare port is on loopback.

    Raises InvalidInput, naming `field`.
    """
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 <= int(port) <= 65_535:
        raise errors.InvalidInput(field, "a port or host:port", text)
    return host.strip("[]") or "127.0.0.1", int(port)


@contextlib.asynccontextmanager
async def served_health(
    address: tuple[str, int] | None,
    ready: Callable[[], bool],
    ill: Callable[[], str] = str,
    guard: Guard = _LOCAL,
    exchange_s: float = EXCHANGE_S,
) -> AsyncIterator[tuple[str, int] | None]:
    """Serve health and metrics at `address` for the length of the block; gives the address it got.

    `ill` says why the process should be started anew, and nothing while it should not. `guard` keeps the metrics: one
    that asks for nothing keeps them on this machine, at whatever address they are served. None serves nothing.
    Raises InvalidInput where the port is taken.
    """
    if address is None:
        yield None
        return
    at = _Exchanges(address[0], ready, ill, guard, exchange_s)
    try:
        server = await asyncio.start_server(at.exchange, *address, limit=HEAD_LIMIT)
    except OSError as error:
        got = f"{address[0]}:{address[1]} ({error.strerror})"
        raise errors.InvalidInput("RISE_HEALTH", "an address to listen on", got, "choose another port") from error
    async with server:
        host, port = server.sockets[0].getsockname()[:2]
        yield host, port


@dataclass
class _Exchanges:
    """One request and one answer on each connection, whatever comes."""

    bound: str
    ready: Callable[[], bool]
    ill: Callable[[], str]
    guard: Guard
    limit_s: float
    open: int = 0

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            if self.open > CONNECTIONS:
                return
            writer.transport.set_write_buffer_limits(high=0)  # what is drained is gone, and the time counts until then
            async with asyncio.timeout(self.limit_s):
                writer.write(_http(await self._answer(await reader.readuntil(b"\r\n\r\n"))))
                await writer.drain()
            writer.close()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass
        finally:
            self.open -= 1
            if not writer.is_closing():
                writer.transport.abort()

    async def _answer(self, head: bytes) -> Answer:
        first, *lines = head.decode("latin-1").split("\r\n")
        said = first.split()
        path = said[1] if len(said) > 1 else ""
        if path == METRICS_PATH:
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            refusal = await self._refusal(headers)
            if refusal is not None:
                return refusal
        return answer_to(path, self.ready, self.ill)

    async def _refusal(self, headers: Mapping[str, str]) -> Answer | None:
        named = guards.host_of(headers.get("host", ""))
        # On an address that others reach, a name says nothing about who asks.
        host = named or self.bound if guards.is_loopback(self.bound) else self.bound
        try:
            await self.guard.check(headers.get("authorization", ""), host)
        except guards.Unauthorized as error:
            return _refused(HTTPStatus.UNAUTHORIZED, error)
        except guards.Forbidden as error:
            return _refused(HTTPStatus.FORBIDDEN, error)
        except errors.RiseError as error:
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, error)
        return None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered on one of the three paths: an HTTP status, a body and its content type."""

    status: HTTPStatus
    body: bytes
    kind: str = "text/plain; charset=utf-8"


def answer_to(path: str, ready: Callable[[], bool], ill: Callable[[], str] = str) -> Answer:
    """Health and metrics, for whatever serves them; see `served_health`."""
    if path == METRICS_PATH:
        return Answer(HTTPStatus.OK, generate_latest(), CONTENT_TYPE_LATEST)
    if path == "/healthz":
        why = ill()
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{why}\n".encode()) if why else Answer(HTTPStatus.OK, b"ok\n")
    if path == "/readyz":
        well = ready()
        return Answer(HTTPStatus.OK, b"ready\n") if well else Answer(HTTPStatus.SERVICE_UNAVAILABLE, b"not ready\n")
    return Answer(HTTPStatus.NOT_FOUND, f"known: {' '.join(HEALTH_PATHS)}\n".encode())


def _refused(status: HTTPStatus, error: errors.RiseError) -> Answer:
    return Answer(status, f"{error}\n".encode())


def _http(answer: Answer) -> bytes:
    status = f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
    if answer.status is HTTPStatus.UNAUTHORIZED:
        status += "WWW-Authenticate: Bearer\r\n"
    head = f"{status}Content-Type: {answer.kind}\r\nContent-Length: {len(answer.body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + answer.body
