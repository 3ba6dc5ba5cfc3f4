"""Reading what the bus holds, for the invariants: from its streams and buckets, and from no log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from benchmarks.chaos.invariants import Snapshot, Verdict, Wanted, judge
from rise_contracts import codec, messages, subjects
from rise_contracts.decisions import DecisionRecord
from rise_runtime import client, streams
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.driving import DriverSettings
from rise_runtime.pulls import Consumer

_ENDINGS: Final = ("job-done", "job-failed", "job-cancelled")
_LOOK_S: Final = 0.2
PATIENCE_S: Final = 3 * DriverSettings().sweep_s
"""Until what came late has been swept up."""


async def settled(
    bus: Bus,
    wanted: Callable[[], Iterable[Wanted]],
    temporary: Path | None = None,
    *,
    seen: Mapping[str, tuple[messages.Ending, ...]] = MappingProxyType({}),
    patience: float = PATIENCE_S,
) -> Verdict:
    """The verdict as soon as nothing is wrong, or that after `patience` seconds: what comes late is swept up.

    `seen`: endings that somebody has seen in the store before, and which count like those in the events.
    """
    give_up = time.monotonic() + patience
    while True:
        now = await snapshot(bus, temporary)
        told = {job: (*now.told.get(job, ()), *seen.get(job, ())) for job in {*now.told, *seen}}
        verdict = judge(replace(now, told=told), wanted())
        if verdict.right or time.monotonic() > give_up:
            return verdict
        await asyncio.sleep(_LOOK_S)


async def snapshot(bus: Bus, temporary: Path | None = None) -> Snapshot:
    """What is there now. `temporary` is the folder under which processes keep what is temporary."""
    records = await client.list_jobs(bus)
    entries = await Bucket(bus, subjects.KV_RESULTS).entries()
    decisions = await Bucket(bus, subjects.KV_DECISIONS).entries()
    return Snapshot(
        records={record.job_id: record for record in records},
        endings={entry.key: codec.decode_ending(entry.value)[0] for entry in entries if entry.value is not None},
        told=await _told(bus),
        outcomes=tuple(codec.decode(messages.Outcome, data) for data in await _all(bus, subjects.STREAM_OUTCOMES)),
        decisions=tuple(codec.decode(DecisionRecord, each.value) for each in decisions if each.value is not None),
        subjects=await held(bus),
        files=() if temporary is None else _files(temporary),
    )


async def held(bus: Bus) -> dict[str, tuple[str, ...]]:
    """The subjects in each stream, and the keys in each bucket; a key that was removed is none."""
    found: dict[str, tuple[str, ...]] = {}
    for name in (await streams.api(bus, "STREAM.NAMES"))["streams"] or []:
        if name.startswith("KV_"):
            entries = await Bucket(bus, name.removeprefix("KV_")).entries()
            found[name.removeprefix("KV_")] = tuple(entry.key for entry in entries)
        else:
            info = await streams.api(bus, f"STREAM.INFO.{name}", {"subjects_filter": ">"})
            found[name] = tuple(info["state"].get("subjects") or ())
    return found


async def _told(bus: Bus) -> dict[str, tuple[messages.Ending, ...]]:
    found: dict[str, tuple[messages.Ending, ...]] = {}
    for data in await _all(bus, subjects.STREAM_EVENTS, *(subjects.event("*", kind) for kind in _ENDINGS)):
        event, _ = codec.decode_event(data)
        if isinstance(event, messages.JobDone | messages.JobFailed | messages.JobCancelled):
            found[event.job_id] = (*found.get(event.job_id, ()), event)
    return found


async def _all(bus: Bus, stream: str, *filters: str) -> list[bytes]:
    """Every message that the stream holds now."""
    consumer = Consumer(bus, stream, filters or (">",), batch=256)
    left = await consumer.start()
    found: list[bytes] = []
    try:
        while left > 0:
            delivery = await consumer.next(5.0)
            if delivery is None:
                left = await consumer.pending() or 0
                continue
            found.append(delivery.data)
            left = delivery.pending
    finally:
        await consumer.stop()
    return found


def _files(folder: Path) -> tuple[str, ...]:
    return tuple(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
