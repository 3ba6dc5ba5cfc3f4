"""JetStream streams: make them, store into them, look into them, purge them. JSON over `bus.Bus`."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rise_contracts import errors
from rise_runtime.bus import Bus, Incoming

MSG_ID: Final = "Nats-Msg-Id"
EXPECTED_LAST: Final = "Nats-Expected-Last-Subject-Sequence"

_WRONG_LAST: Final = frozenset({10071, 10164})
_NAME_IN_USE: Final = 10058
_NO_PEERS: Final = frozenset({10005, 10074})
"""Too few servers for so many copies, or one that is in no cluster."""
_NO_ROOM: Final = frozenset({10023, 10028, 10047})
_NO_DISK: Final = "no space left"
_NOT_MADE: Final = 10049
"""In the very same words for a full disk, for one that may not be written, and for files of another key."""
_STORE_FAILED: Final = 10077
_SECOND: Final = 1_000_000_000
_SEE_ITS_LOG: Final = (
    "its log says why: make room on its disk, or give it the right to write; where the store was written with another "
    "key, stop it at once and give it that one, for it throws away what it cannot read"
)
PATIENCE_S: Final = 15.0
"""A server that is away for less than this is waited for."""
_LISTED_WITHIN_S: Final = 20.0
"""The server takes 1 s for each page of 300,000 subjects, and a page has 100,000."""
_DUPLICATES_S: Final = 120.0
"""For so long a message id is remembered."""


class JetStreamError(errors.RiseError):
    """What JetStream answered instead. `code` is HTTP-like, `err_code` JetStream's own."""

    exit_code = 7

    def __init__(self, what: str, code: int, err_code: int, description: str) -> None:
        self.code, self.err_code, self.description = code, err_code, description
        super().__init__(f"{what}: {description} (JetStream {code}/{err_code})")


class WrongRevision(JetStreamError):
    """Somebody else wrote first: read again, decide again."""


@dataclass(frozen=True, slots=True)
class Stored:
    """`duplicate`: the same message id had been stored before, and this one was dropped."""

    sequence: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class StoredMessage:
    subject: str
    sequence: int
    data: bytes
    headers: Mapping[str, str]

    @property
    def stored_at(self) -> float:
        """Unix seconds, by the server's clock."""
        return datetime.fromisoformat(self.headers["Nats-Time-Stamp"]).timestamp()


async def api(
    bus: Bus, verb: str, body: Mapping[str, Any] | None = None, *, timeout: float = 5.0, patience: float = 0.0
) -> dict[str, Any]:
    """One call of the JetStream API, tried again for `patience` seconds while the server is away, where it may be.

    Raises JetStreamError, or what `Bus.request` raises.
    """
    data = json.dumps(body).encode() if body else b""
    reply = await _asked(bus, f"$JS.API.{verb}", data, timeout=timeout, patience=patience)
    answer: dict[str, Any] = json.loads(reply.data)
    if "error" in answer:
        raise _error(verb, answer["error"])
    return answer


async def ensure(
    bus: Bus,
    name: str,
    subjects: tuple[str, ...],
    *,
    retention: str = "limits",
    max_age_s: float = 0,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Make the stream, or bring an existing one to this configuration.

    `discard: new` unless `extra` says otherwise: at a limit the writer hears of it, instead of unread work being
    thrown away. A cluster of servers keeps three copies; a stream that has more than can be asked for now keeps them.
    """
    config = {
        "name": name,
        "subjects": list(subjects),
        "retention": retention,
        "storage": "file",
        "discard": "new",
        "max_age": int(max_age_s * _SECOND),
        "duplicate_window": int(min(_DUPLICATES_S, max_age_s or _DUPLICATES_S) * _SECOND),
        "allow_direct": True,
        **(extra or {}),
    }
    replicas = bus.replicas
    try:
        await _make(bus, name, {**config, "num_replicas": replicas})
    except JetStreamError as error:
        if error.err_code not in _NO_PEERS or replicas == 1:
            raise
        bus.replicas = 1
        await _make(bus, name, {**config, "num_replicas": 1})


async def _make(bus: Bus, name: str, config: Mapping[str, Any]) -> None:
    try:
        await api(bus, f"STREAM.CREATE.{name}", config, patience=PATIENCE_S)
    except JetStreamError as error:
        if error.err_code != _NAME_IN_USE:
            raise
        there = await api(bus, f"STREAM.INFO.{name}", patience=PATIENCE_S)
        replicas = max(there["config"].get("num_replicas", 1), config["num_replicas"])
        await api(bus, f"STREAM.UPDATE.{name}", {**config, "num_replicas": replicas}, patience=PATIENCE_S)


async def born(bus: Bus, name: str) -> str:
    """When the stream was made, as the server says it: another time is another store. Raises JetStreamError."""
    return str((await api(bus, f"STREAM.INFO.{name}"))["created"])


async def store(
    bus: Bus,
    subject: str,
    data: bytes,
    *,
    msg_id: str | None = None,
    expect_last: int | None = None,
    headers: Mapping[str, str] | None = None,
    patience: float = PATIENCE_S,
) -> Stored:
    """Publish and return once the stream holds it.

    Tried again for `patience` seconds while the server is away; with a `msg_id` it is stored once all the same.
    Raises WrongRevision where the subject's last sequence is not `expect_last`, Busy where the stream is full.
    """
    all_headers = dict(headers or {})
    if msg_id is not None:
        all_headers[MSG_ID] = msg_id
    if expect_last is not None:
        all_headers[EXPECTED_LAST] = str(expect_last)
    try:
        reply = await _asked(bus, subject, data, timeout=2.0, headers=all_headers, patience=patience)
    except (errors.Waited, errors.NoResponder, errors.BusUnavailable) as error:
        raise errors.BusUnavailable(bus.url, f"{subject} was not stored ({error})") from error
    return _stored(subject, json.loads(reply.data))


async def last(bus: Bus, stream: str, subject: str, *, patience: float = 0.0) -> StoredMessage | None:
    """The newest message on `subject` (no wildcards), or None. Asked again for `patience` seconds as in `store`."""
    reply = await _asked(bus, f"$JS.API.DIRECT.GET.{stream}.{subject}", b"", timeout=5.0, patience=patience)
    return _read(reply, subject)


async def leading(bus: Bus, stream: str, subject: str) -> StoredMessage | None:
    """`last`, as the stream's leader says it, who is never behind as a replica may be; and who may be busy."""
    try:
        found = (await api(bus, f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject}))["message"]
    except JetStreamError as error:
        if error.code == 404:
            return None
        raise
    lines = base64.b64decode(found.get("hdrs", "")).decode("utf-8", "replace").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    return StoredMessage(subject, int(found["seq"]), base64.b64decode(found.get("data", "")), headers)


async def first(bus: Bus, stream: str, subject: str, sequence: int = 1) -> StoredMessage | None:
    """The oldest message on `subject` (wildcards allowed) from that sequence on, or None."""
    asked = json.dumps({"seq": sequence, "next_by_subj": subject}).encode()
    return _read(await _asked(bus, f"$JS.API.DIRECT.GET.{stream}", asked, timeout=5.0, patience=0.0), subject)


async def trim(bus: Bus, stream: str, before: int) -> None:
    """Remove all messages before that sequence."""
    await api(bus, f"STREAM.PURGE.{stream}", {"seq": before})


def _read(reply: Incoming, subject: str) -> StoredMessage | None:
    if reply.headers.get("Status") == "404":
        return None
    if "Nats-Sequence" not in reply.headers:
        status = int(reply.headers.get("Status", "500"))
        raise JetStreamError(f"reading {subject}", status, 0, reply.headers.get("Description", "no message"))
    return StoredMessage(reply.headers["Nats-Subject"], int(reply.headers["Nats-Sequence"]), reply.data, reply.headers)


async def delete(bus: Bus, stream: str, sequence: int) -> None:
    """Remove one message; one that is gone already is fine."""
    try:
        await api(bus, f"STREAM.MSG.DELETE.{stream}", {"seq": sequence})
    except JetStreamError as error:
        if error.code not in (400, 404):
            raise


async def purge(bus: Bus, stream: str, subject: str) -> int:
    """Remove all messages on `subject` (wildcards allowed); how many there were. No stream means none."""
    try:
        answer = await api(bus, f"STREAM.PURGE.{stream}", {"filter": subject}, patience=PATIENCE_S)
    except JetStreamError as error:
        if error.code == 404:
            return 0
        raise
    return int(answer.get("purged", 0))


async def count(bus: Bus, stream: str, subject: str) -> int:
    """How many messages wait on `subject` (wildcards allowed)."""
    return sum((await subjects(bus, stream, subject)).values())


async def subjects(bus: Bus, stream: str, subject: str) -> dict[str, int]:
    """The subjects that match `subject` (wildcards allowed), each with how many messages it has. No stream has none."""
    found: dict[str, int] = {}
    seen = 0
    while True:
        asked = {"subjects_filter": subject, "offset": seen}
        try:
            answer = await api(bus, f"STREAM.INFO.{stream}", asked, timeout=_LISTED_WITHIN_S)
        except JetStreamError as error:
            if error.code == 404:
                return {}
            raise
        page = answer["state"].get("subjects") or {}
        found |= page
        seen += len(page)
        if not page or seen >= answer.get("total", 0):
            return found


async def _asked(
    bus: Bus,
    subject: str,
    data: bytes,
    *,
    timeout: float,
    patience: float,
    headers: Mapping[str, str] | None = None,
) -> Incoming:
    """The answer to a request that may be repeated, and is, for `patience` seconds while the server is away."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + patience
    while True:
        try:
            return await bus.request(subject, data, timeout=timeout, headers=headers or {})
        except (errors.Waited, errors.NoResponder, errors.BusUnavailable):
            if loop.time() >= give_up or bus.closed.is_set():
                raise
        await asyncio.sleep(0.1)


def _stored(subject: str, answer: dict[str, Any]) -> Stored:
    if "error" in answer:
        raise _error(f"storing on {subject}", answer["error"])
    return Stored(int(answer["seq"]), bool(answer.get("duplicate", False)))


def _error(what: str, error: dict[str, Any]) -> errors.RiseError:
    code, err_code = int(error.get("code", 500)), int(error.get("err_code", 0))
    description = str(error.get("description", "unknown"))
    if err_code in _WRONG_LAST:
        return WrongRevision(what, code, err_code, description)
    if err_code in _NO_ROOM or _NO_DISK in description:
        return errors.DiskFull("the NATS store", description)
    if err_code == _NOT_MADE:
        return errors.DiskFull("the NATS store", f"{what}: {description}", _SEE_ITS_LOG)
    if err_code == _STORE_FAILED:
        return errors.Busy(f"{what}: the queue is full ({description}); try again when some work is done")
    return JetStreamError(what, code, err_code, description)
