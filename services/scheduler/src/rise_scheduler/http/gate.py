"""Who may ask, and how much they may say."""

from __future__ import annotations

import asyncio
import hmac

from starlette.requests import Request

from rise_contracts.errors import PayloadTooLarge
from rise_scheduler.http.exposure import is_loopback
from rise_scheduler.http.problems import JSON, Forbidden, Unauthorized, UnsupportedBody

BODY_LIMIT = 64 * 1024
"""Bytes of a request's body. A job's question has a prompt and a few numbers."""
BODY_S = 5.0
"""Seconds in which it must have arrived."""


def check_request(request: Request, token: str | None) -> None:
    """Raise Unauthorized, or without a token Forbidden where a name that is not this machine's own leads here."""
    if token is not None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode(), token.encode())
        if scheme.lower() != "bearer" or not same:
            raise Unauthorized
        return
    host = request.url.hostname or ""
    if not is_loopback(host):
        raise Forbidden(host)


async def body_of(request: Request) -> bytes:
    """The body, JSON by its own word. Raises UnsupportedBody, PayloadTooLarge, and TimeoutError where it dawdles."""
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != JSON:
        raise UnsupportedBody(kind)
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > BODY_LIMIT:
        raise PayloadTooLarge("body", int(said), BODY_LIMIT)
    body = bytearray()
    async with asyncio.timeout(BODY_S):
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_LIMIT:
                raise PayloadTooLarge("body", len(body), BODY_LIMIT)
    return bytes(body)
