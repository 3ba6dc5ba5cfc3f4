"""What a client of NATS says on its connection, message by message: text lines, and payloads of a stated length.

Only the direction from client to server is read. After https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_END: Final = b"\r\n"


@dataclass(frozen=True, slots=True)
class Said:
    """One protocol message. `raw` is all of it, as it came; the others are empty where the verb has no such part."""

    raw: bytes
    verb: str
    subject: str = ""
    reply: str = ""
    headers: bytes = b""
    payload: bytes = b""


Match = Callable[[Said], bool]


class Reader:
    """Cuts a stream of bytes into messages, wherever the network has cut it."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def rest(self) -> bytes:
        """The beginning of a message whose end has not come."""
        return self._rest

    def feed(self, data: bytes) -> list[Said]:
        """The messages that are whole now, in their order. Raises ValueError where it is not NATS that is spoken."""
        self._rest += data
        found: list[Said] = []
        start = 0
        while (end := _end_of(self._rest, start)) is not None:
            found.append(_read(self._rest[start:end]))
            start = end
        self._rest = self._rest[start:]
        return found


def _end_of(data: bytes, start: int) -> int | None:
    """Where the message that begins at `start` ends; None while it is not all there."""
    line_end = data.find(_END, start)
    if line_end < 0:
        return None
    words = data[start:line_end].split()
    after = line_end + len(_END)
    if not words or words[0].upper() not in (b"PUB", b"HPUB"):
        return after
    end = after + int(words[-1]) + len(_END)
    return end if end <= len(data) else None


def _read(raw: bytes) -> Said:
    line, _, rest = raw.partition(_END)
    words = line.decode().split()
    verb = words[0].upper() if words else ""
    if verb not in ("PUB", "HPUB"):
        return Said(raw, verb, words[1] if verb == "SUB" else "")
    numbers = 1 if verb == "PUB" else 2
    subject, *reply = words[1 : len(words) - numbers]
    head = int(words[-2]) if verb == "HPUB" else 0
    body = rest[: int(words[-1])]
    return Said(raw, verb, subject, reply[0] if reply else "", body[:head], body[head:])
