"""Typed questions and answers between processes, over requests of the bus."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import BaseModel

from rise_contracts import codec, errors
from rise_runtime.bus import Bus, Incoming, Subscription

log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)


async def ask(bus: Bus, subject: str, question: BaseModel, answer: type[M], *, timeout: float = 2.0) -> M:
    """The answer to `question`. An error of the other side is raised as RemoteError."""
    reply = await bus.request(subject, codec.encode(question), timeout=timeout)
    return codec.decode_reply(answer, reply.data)


async def serve(
    bus: Bus, subject: str, question: type[M], handler: Callable[[M], Awaitable[BaseModel]], *, queue: str = "serve"
) -> Subscription:
    """Answer typed questions, one process of the `queue` group each. RiseErrors travel back as Problems."""
    running: set[asyncio.Task[None]] = set()

    async def answer(message: Incoming) -> None:
        reply = await _answer(subject, question, handler, message.data)
        try:
            await bus.publish(message.reply, reply)
        except errors.RiseError as error:
            log.warning("an answer on %s could not be sent: %s", subject, error)

    def start(message: Incoming) -> None:
        # A task each: callbacks of one subscription run serially, and one slow answer must not hold up the rest.
        if message.reply:
            task = asyncio.create_task(answer(message))
            running.add(task)
            task.add_done_callback(running.discard)

    return await bus.subscribe(subject, start, queue=queue)


async def _answer(subject: str, question: type[M], handler: Callable[[M], Awaitable[BaseModel]], data: bytes) -> bytes:
    """What goes back, an error included."""
    try:
        return codec.encode(await handler(codec.decode(question, data)))
    except errors.RiseError as error:
        return codec.encode_problem(error)
    except Exception as error:
        log.exception("the handler of %s failed", subject)
        return codec.encode_problem(errors.StageFailed(f"{type(error).__name__}: {error}", reason="Internal"))
