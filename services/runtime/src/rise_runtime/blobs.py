"""Bytes too large for one message: chunks, each on a subject of its own, asked for one by one.

NATS' object store is not used: reading from it waits a quarter of a second per flow-control window. Nor is a consumer:
a list of rights can say which subjects somebody may ask for, and cannot say where a consumer of his delivers.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Coroutine, Iterable
from typing import Final

from rise_contracts import errors, subjects
from rise_contracts.messages import PayloadRef
from rise_runtime import streams
from rise_runtime.bus import Bus

_WINDOW: Final = 8
"""Chunks under way at once: enough to hide the round trip, 4 MiB of memory."""
_AGAIN_S: Final = 0.1
_PATIENCE_S: Final = 10.0


def inline(payload: bytes, sha256: str | None = None) -> PayloadRef:
    """The reference of bytes that travel right behind the message. `sha256` is their digest where it is known."""
    return PayloadRef(kind="inline", nbytes=len(payload), sha256=sha256 or _digest(payload))


def inline_limit(bus: Bus) -> int:
    """Bytes that `send` still puts behind the message: above, they go in chunks."""
    # A quarter is left for the message itself where the server's limit is smaller than ours.
    return min(subjects.INLINE_LIMIT, bus.max_payload * 3 // 4)


def chunk_bytes(bus: Bus) -> int:
    """Bytes of a payload in one message."""
    return min(subjects.CHUNK, bus.max_payload * 3 // 4)


async def send(
    bus: Bus,
    shelf: str,
    job_id: str,
    use: str,
    attempt: int,
    payload: bytes,
    *,
    sha256: str | None = None,
    limit: int = subjects.PAYLOAD_LIMIT,
) -> tuple[PayloadRef, bytes]:
    """Make `payload` ready to travel: what to say in the message, and what to put behind it.

    `shelf` is the writer's, in the lane of the stage which it belongs to. `sha256` is its digest where it is known.
    Raises PayloadTooLarge above `limit` bytes.
    """
    if len(payload) > limit:
        raise errors.PayloadTooLarge(use, len(payload), limit)
    if len(payload) <= inline_limit(bus):
        return inline(payload, sha256), payload
    # The nonce keeps apart two writers of one attempt: the chunks of each are whole.
    subject = subjects.blob(shelf, job_id, use, attempt, secrets.token_hex(8))
    return await put(bus, subject, payload, sha256), b""


async def put(bus: Bus, subject: str, payload: bytes, sha256: str | None = None) -> PayloadRef:
    """Store `payload` in chunks on `subject`.0, .1 and so on, which nobody else writes. `sha256` is as in `send`.

    Raises what `streams.store` raises.
    """
    size = chunk_bytes(bus)
    parts = [payload[start : start + size] for start in range(0, len(payload), size)]
    window = asyncio.Semaphore(_WINDOW)

    async def store(index: int, part: bytes) -> None:
        async with window:
            await streams.store(bus, f"{subject}.{index}", part, msg_id=f"{subject}.{index}")

    await _all(store(index, part) for index, part in enumerate(parts))
    return PayloadRef(
        kind="chunks",
        nbytes=len(payload),
        sha256=sha256 or _digest(payload),
        subject=subject,
        chunks=len(parts),
    )


async def drop(bus: Bus, ref: PayloadRef) -> None:
    """Free the room of bytes that nobody will ask for."""
    if ref.subject is not None:
        await streams.purge(bus, subjects.STREAM_BLOBS, f"{ref.subject}.*")


async def receive(bus: Bus, ref: PayloadRef, behind: bytes, *, timeout: float = 10.0) -> bytes:
    """The bytes `ref` speaks of; `behind` is what came behind its message.

    Raises HandoffRefused (size, digest) where they are damaged, NotFound where chunks are missing.
    """
    payload = behind if ref.kind == "inline" else await _read_chunks(bus, ref, timeout)
    if len(payload) != ref.nbytes:
        raise errors.HandoffRefused(errors.Refusal.SIZE, f"{ref.nbytes} bytes", f"{len(payload)} bytes")
    digest = _digest(payload)
    if digest != ref.sha256:
        raise errors.HandoffRefused(errors.Refusal.DIGEST, ref.sha256, digest)
    return payload


def _digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


async def _read_chunks(bus: Bus, ref: PayloadRef, timeout: float) -> bytes:
    if ref.subject is None:
        raise errors.HandoffRefused(errors.Refusal.MALFORMED, "the subject of the chunks", "none")
    parts: list[bytes] = [b""] * ref.chunks
    window = asyncio.Semaphore(_WINDOW)
    deadline = asyncio.get_running_loop().time() + timeout

    async def read(index: int) -> None:
        async with window:
            parts[index] = await _chunk(bus, f"{ref.subject}.{index}", deadline)

    await _all(read(index) for index in range(ref.chunks))
    return b"".join(parts)


async def _chunk(bus: Bus, subject: str, deadline: float) -> bytes:
    """Waited for: a replica that answers may not have it yet."""
    while (stored := await streams.last(bus, subjects.STREAM_BLOBS, subject, patience=_PATIENCE_S)) is None:
        if asyncio.get_running_loop().time() >= deadline:
            raise errors.NotFound("payload", subject, "this chunk of it is not there")
        await asyncio.sleep(_AGAIN_S)
    return stored.data


async def _all(work: Iterable[Coroutine[None, None, None]]) -> None:
    """Do all of it at once. The chunks of a payload fail for the same reason, and that is what is raised, no group."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in work:
                group.create_task(part)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
