"""Typed questions and answers between processes, over requests of the bus."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib import metadata
from typing import TypeVar

from pydantic import BaseModel

from rise_contracts import codec, errors
from rise_runtime.bus import Announcement, Bus, Endpoint, Incoming, Subscription

log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)
Handler = Callable[[M], Awaitable[BaseModel]]


async def ask(bus: Bus, subject: str, question: BaseModel, answer: type[M], *, timeout: float = 2.0) -> M:
    """The answer to `question`. An error of the other side is raised as RemoteError."""
    reply = await bus.request(subject, codec.encode(question), timeout=timeout)
    return codec.decode_reply(answer, reply.data)


class Served:
    """A subject that is answered; `stop` ends it. It counts, for `announce`."""

    def __init__(self, subject: str, queue: str) -> None:
        self._subject, self._queue = subject, queue
        self._requests, self._errors, self._seconds, self._last_error = 0, 0, 0.0, ""
        self._subscription: Subscription | None = None
        self._running: set[asyncio.Task[None]] = set()

    def endpoint(self, name: str) -> Endpoint:
        """What was answered so far. An error of the one who asks is one of the service, as NATS counts."""
        return Endpoint(name, self._subject, self._queue, self._requests, self._errors, self._seconds, self._last_error)

    async def stop(self) -> None:
        """Take no more questions. Those at work are answered."""
        if self._subscription is not None:
            await self._subscription.stop()

    async def start(self, bus: Bus, question: type[M], handler: Handler[M]) -> None:
        async def answer(message: Incoming) -> None:
            reply = await self._answer(question, handler, message.data)
            try:
                await bus.publish(message.reply, reply)
            except errors.RiseError as error:
                log.warning("an answer on %s could not be sent: %s", self._subject, error)

        def begin(message: Incoming) -> None:
            # A task each: callbacks of one subscription run serially, and one slow answer must not hold up the rest.
            if message.reply:
                task = asyncio.create_task(answer(message))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

        self._subscription = await bus.subscribe(self._subject, begin, queue=self._queue)

    async def _answer(self, question: type[M], handler: Handler[M], data: bytes) -> bytes:
        """What goes back, an error included."""
        began = time.perf_counter()
        try:
            return codec.encode(await handler(codec.decode(question, data)))
        except errors.RiseError as error:
            return self._problem(error)
        except Exception as error:
            log.exception("the handler of %s failed", self._subject)
            return self._problem(errors.StageFailed(f"{type(error).__name__}: {error}", reason="Internal"))
        finally:
            self._requests += 1
            self._seconds += time.perf_counter() - began

    def _problem(self, error: errors.RiseError) -> bytes:
        self._errors, self._last_error = self._errors + 1, str(error)
        return codec.encode_problem(error)


async def serve(bus: Bus, subject: str, question: type[M], handler: Handler[M], *, queue: str = "serve") -> Served:
    """Answer typed questions, one process of the `queue` group each. RiseErrors travel back as Problems."""
    served = Served(subject, queue)
    await served.start(bus, question, handler)
    return served


async def announce(bus: Bus, name: str, description: str, served: Mapping[str, Served]) -> Announcement:
    """Let the NATS tools find what is served, by the names of its endpoints."""
    return await bus.announce(
        name, _version(), description, lambda: [each.endpoint(title) for title, each in served.items()]
    )


def _version() -> str:
    """The three numbers that the protocol wants of a version."""
    with contextlib.suppress(metadata.PackageNotFoundError):  # a checkout that is not installed
        found = re.match(r"\d+\.\d+\.\d+", metadata.version("rise-relay"))
        if found is not None:
            return found[0]
    return "0.0.0"
