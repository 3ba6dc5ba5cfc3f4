"""Messages to bytes and back, strictly: types are never bent, and numbers are finite.

Only a field that is not known is passed over on the bus: in a rolling upgrade those who are not upgraded yet hear from
those who are. A new field must therefore be one that may be missed; what may not is a new version of the message.

A message is one line of JSON. Where bytes travel with it they follow after one newline: JSON text made here never
holds a raw newline, so the first one is the border. It reads well in any NATS tool, and costs no base64.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from rise_contracts import errors, messages, privacy

M = TypeVar("M", bound=BaseModel)
Extra = Literal["ignore", "forbid"]

_BORDER = b"\n"
_OF_THEIR_KIND = ("bool_", "enum", "float_", "greater_", "int_", "less_", "literal_", "string_", "value_error")
"""Beginnings of pydantic's names for what can be wrong with a number or a word."""


def encode(message: BaseModel, payload: bytes = b"") -> bytes:
    """The wire form. `payload` follows the JSON; it may be empty."""
    text = message.model_dump_json(by_alias=True).encode()
    return text + _BORDER + payload if payload else text


def decode(kind: type[M], data: bytes, *, extra: Extra = "ignore") -> M:
    """The message in `data`. Raises InvalidInput where it is not a whole, valid message of `kind`.

    `extra` "forbid" is for what a person wrote, whose misspelt field is a mistake.
    """
    return decode_with_payload(kind, data, extra=extra)[0]


def decode_with_payload(kind: type[M], data: bytes, *, extra: Extra = "ignore") -> tuple[M, bytes]:
    """The message and the bytes behind it (empty where there are none)."""
    head, _, payload = data.partition(_BORDER)
    try:
        return kind.model_validate_json(head, strict=True, extra=extra), payload
    except ValidationError as error:
        raise _bad(kind.__name__, error) from error


def decode_event(data: bytes) -> tuple[messages.Event, bytes]:
    """Any event, told by its `kind`, and the bytes behind it."""
    return _decode_union("Event", data)


def decode_ending(data: bytes) -> tuple[messages.Ending, bytes]:
    """How a job ended, and its pictures where they are inline."""
    return _decode_union("Ending", data)


def decode_reply(kind: type[M], data: bytes) -> M:
    """The answer to a request; a Problem is raised as RemoteError."""
    head = data.partition(_BORDER)[0]
    if head.startswith(b'{"version":1,"problem":'):
        problem = decode(messages.Problem, data)
        raise errors.RemoteError(problem.problem, problem.message, problem.retriable)
    return decode(kind, data)


def encode_problem(error: errors.RiseError) -> bytes:
    return encode(messages.Problem(problem=error.reason, message=str(error), retriable=error.retriable))


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(getattr(messages, name))


def _decode_union(name: str, data: bytes) -> tuple[Any, bytes]:
    head, _, payload = data.partition(_BORDER)
    try:
        return _adapter(name).validate_json(head, strict=True, extra="ignore"), payload
    except ValidationError as error:
        raise _bad(name, error) from error


def _bad(name: str, error: ValidationError) -> errors.InvalidInput:
    first = error.errors(include_url=False, include_context=False)[0]
    # A key that is not known names itself, and may be of any length.
    where = ".".join(_cut(str(part)) for part in first["loc"]) or name
    # Of the right kind, it is what its name says. Else it may be anything, or all of a message.
    known = first["loc"] and first["type"].startswith(_OF_THEIR_KIND)
    got = privacy.told(str(first["loc"][-1]) if known else "prompt", first["input"])
    return errors.InvalidInput(where, f"a valid {name}: {first['msg']}", got)


def _cut(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[:limit] + "…"
