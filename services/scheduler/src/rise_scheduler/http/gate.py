"""Who may ask, and how much they may say."""

from __future__ import annotations

import asyncio

from fastapi import Request

from rise_contracts.errors import InvalidInput, PayloadTooLarge
from rise_runtime.guard import Guard
from rise_scheduler.http.problems import JSON, UnsupportedBody

BODY_LIMIT = 64 * 1024
"""Bytes of a request's body. A job's question has a prompt and a few numbers."""
BODY_S = 5.0
"""Seconds in which it must have arrived."""


async def check_request(request: Request, guard: Guard) -> None:
    """Raise Unauthorized; or, where the guard asks for nothing, Forbidden for a name that is not this machine's own."""
    await guard.check(request.headers.get("authorization", ""), request.url.hostname or "")


async def body_of(request: Request) -> bytes:
    """The body, JSON by its own word. Raises UnsupportedBody, PayloadTooLarge, and TimeoutError where it dawdles."""
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != JSON:
        raise UnsupportedBody(kind)
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > BODY_LIMIT:
        raise PayloadTooLarge("body", int(said), BODY_LIMIT)
    body, more = bytearray(), True
    async with asyncio.timeout(BODY_S):
        while more:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise InvalidInput("body", "all of it", f"{len(body)} bytes and the end of the connection")
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > BODY_LIMIT:
                raise PayloadTooLarge("body", len(body), BODY_LIMIT)
    return bytes(body)
