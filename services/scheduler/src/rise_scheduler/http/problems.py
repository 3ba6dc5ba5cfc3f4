"""Errors as HTTP answers: a status that a client can act on, and the contract's Problem as the body."""

from __future__ import annotations

import math
from http import HTTPStatus

from fastapi import Response

from rise_contracts import codec
from rise_contracts.errors import (
    Busy,
    IdempotencyConflict,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
    RiseError,
    UnknownName,
)
from rise_runtime.guard import Forbidden, Unauthorized
from rise_scheduler.state import StateRefused
from rise_scheduler.store import UnknownDecision

JSON = "application/json"


class UnsupportedBody(RiseError):
    """A body that does not say it is JSON: a page in a browser may send such a one to any address, JSON it may not."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"wanted the header Content-Type: {JSON}, got {kind[:80]!r}")


# The first that fits counts, so what is special comes before what is general.
_STATUS: tuple[tuple[type[RiseError], HTTPStatus], ...] = (
    (PayloadTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (IdempotencyConflict, HTTPStatus.CONFLICT),
    (UnknownName, HTTPStatus.NOT_FOUND),
    (NotFound, HTTPStatus.NOT_FOUND),
    (UnknownDecision, HTTPStatus.NOT_FOUND),
    (InvalidInput, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Unauthorized, HTTPStatus.UNAUTHORIZED),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (UnsupportedBody, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (StateRefused, HTTPStatus.SERVICE_UNAVAILABLE),  # a newer release has to come back first
)


def status_of(error: RiseError) -> HTTPStatus:
    """What can be tried again as it is, is 503; what nobody foresaw is 500."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return HTTPStatus.SERVICE_UNAVAILABLE if error.retriable else HTTPStatus.INTERNAL_SERVER_ERROR


def answer(error: RiseError, status: HTTPStatus | None = None) -> Response:
    """The error as a response; where a later try may help it says when."""
    status = status or status_of(error)
    headers = {}
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        wait = error.retry_after if isinstance(error, Busy) else 1.0
        headers["Retry-After"] = str(max(math.ceil(wait), 1))
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(codec.encode_problem(error), status.value, headers, JSON)
