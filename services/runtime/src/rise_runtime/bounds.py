"""What a device stores is bounded, and what one that is cut off stores goes.

No server holds a device to a number of bytes: it may write on its own shelves as fast as its link is. So what lies
there is counted every few seconds, by the names alone, for the stream of chunks takes no message that is larger than a
chunk. Those of checkpoints and offers need no count: each as a whole has a limit.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping

from rise_contracts import errors, subjects
from rise_runtime import blobs, streams
from rise_runtime.bus import Bus
from rise_runtime.outcasts import Outcasts

log = logging.getLogger(__name__)


async def run_bounds(bus: Bus, every_s: float, leads: Callable[[], bool] = lambda: True) -> None:
    """Look every `every_s` seconds until cancelled, while `leads` says so."""
    outcasts = Outcasts(bus)
    while True:
        await asyncio.sleep(every_s)
        if leads():
            try:
                await _look(bus, outcasts)
            except errors.RiseError as error:
                log.info("what devices have stored is counted later: %s", error)


async def _look(bus: Bus, outcasts: Outcasts) -> None:
    """Outcasts first: what they have stored since the last look need not be counted."""
    for worker in await outcasts.now():
        await _clear(bus, worker)
    stored = await streams.subjects(bus, subjects.STREAM_BLOBS, subjects.ALL_BLOBS)
    for worker, why in beyond(stored, most_chunks(bus)).items():
        log.warning("worker %s is cut off: %s", worker, why)
        await outcasts.add(worker, why)
        await _clear(bus, worker)


async def _clear(bus: Bus, worker: str) -> None:
    """Throw away what no other can have stored."""
    lane = subjects.lane("*", worker)
    for stream, subject in (
        (subjects.STREAM_BLOBS, subjects.blobs_of_writer(worker)),
        (subjects.STREAM_CHECKPOINTS, subjects.checkpoints_of_lane(lane)),
        (subjects.STREAM_OFFERS, subjects.offers_of_worker("*", worker)),
    ):
        await streams.purge(bus, stream, subject)


def most_chunks(bus: Bus) -> int:
    """Messages that one device may have on its shelves."""
    return subjects.DEVICE_LIMIT // blobs.chunk_bytes(bus)


def beyond(stored: Mapping[str, int], most: int) -> dict[str, str]:
    """Devices that have stored what no honest one does, each with what that is. `stored`: subjects of chunks, and how
    many messages each has."""
    found: dict[str, str] = {}
    counted: Counter[str] = Counter()
    for subject, count in stored.items():
        writer = subjects.writer_of_blob(subject)
        if writer is None:
            continue
        counted[writer] += count
        if not subjects.is_one(subject):
            found[writer] = "chunks under a name that stands for many"
    full = {writer: count for writer, count in counted.items() if count > most}
    return found | {writer: f"{count} chunks, of at most {most}" for writer, count in full.items()}
