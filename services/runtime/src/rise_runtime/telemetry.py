"""What a process tells its operators: log lines, metrics, and whether it is well.

Metrics and health are served over plain HTTP on a port that is chosen, or not at all: ``/metrics`` (Prometheus),
``/healthz`` (the process turns), ``/readyz`` (it takes work).
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

HEALTH_PATHS = ("/metrics", "/healthz", "/readyz")
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
    address: tuple[str, int] | None, ready: Callable[[], bool], ill: Callable[[], str] = str
) -> AsyncIterator[tuple[str, int] | None]:
    """Serve health and metrics at `address` for the length of the block; gives the address it got.

    `ill` says why the process should be started anew, and nothing while it should not. None serves nothing.
    Raises InvalidInput where the port is taken.
    """
    if address is None:
        yield None
        return

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            async with asyncio.timeout(5):
                request = (await reader.readline()).split()
                while (await reader.readline()).strip():
                    pass
            path = request[1].decode(errors="replace") if len(request) > 1 else ""
            writer.write(_http(answer_to(path, ready, ill)))
            await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(answer, *address)
    except OSError as error:
        got = f"{address[0]}:{address[1]} ({error.strerror})"
        raise errors.InvalidInput("RISE_HEALTH", "an address to listen on", got, "choose another port") from error
    async with server:
        host, port = server.sockets[0].getsockname()[:2]
        yield host, port


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered on one of the three paths: an HTTP status, a body and its content type."""

    status: HTTPStatus
    body: bytes
    kind: str = "text/plain; charset=utf-8"


def answer_to(path: str, ready: Callable[[], bool], ill: Callable[[], str] = str) -> Answer:
    """Health and metrics, for whatever serves them; see `served_health`."""
    if path == "/metrics":
        return Answer(HTTPStatus.OK, generate_latest(), CONTENT_TYPE_LATEST)
    if path == "/healthz":
        why = ill()
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{why}\n".encode()) if why else Answer(HTTPStatus.OK, b"ok\n")
    if path == "/readyz":
        well = ready()
        return Answer(HTTPStatus.OK, b"ready\n") if well else Answer(HTTPStatus.SERVICE_UNAVAILABLE, b"not ready\n")
    return Answer(HTTPStatus.NOT_FOUND, f"known: {' '.join(HEALTH_PATHS)}\n".encode())


def _http(answer: Answer) -> bytes:
    status = f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
    head = f"{status}Content-Type: {answer.kind}\r\nContent-Length: {len(answer.body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + answer.body
