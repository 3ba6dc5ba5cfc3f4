"""What a job leaves on the disk of the bus when it is removed, or its time is over: nothing that could be read.

JetStream keeps messages in files of some megabytes. A message that is removed stays in its file until that is written
anew or goes, as it does once nothing is left in it. So a platform whose jobs are gone has nothing of them; where
others go on, a removed job's bytes may lie in a file beside theirs, until they too are gone or half of a full file is
dead. Both are looked at here, in the bytes of a real server's folder.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rise_contracts import messages, subjects
from rise_contracts.records import JobRecord
from rise_runtime import client, streams
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from tests.bus.runtime import small
from tests.servers import Server

FORGETFUL = replace(small.QUICK_DRIVER, sweep_s=0.1, forget_s=0.0)
SIZES = {"inside the message": 4096, "in chunks": 3 * 2**20}


def lies(server: Server, needle: bytes) -> list[str]:
    """The files of the store that hold these bytes."""
    found = []
    for path in server.store.rglob("*"):
        try:
            if path.is_file() and needle in path.read_bytes():
                found.append(str(path.relative_to(server.store)))
        except FileNotFoundError:
            continue  # it went while we looked
    return found


async def until_gone(server: Server, *needles: bytes) -> None:
    async with asyncio.timeout(60):
        while any(lies(server, needle) for needle in needles):
            await asyncio.sleep(0.1)


@asynccontextmanager
async def platform(bus: Bus, folder: Path, size: int = small.LATENT) -> AsyncIterator[None]:
    async with (
        small.scheduler(bus),
        small.driver(bus, FORGETFUL),
        small.worker(bus, "edge-1", folder, size=size),
        small.worker(bus, "device-1", folder, size=size),
    ):
        yield


async def drawn(bus: Bus, prompt: str, **fields: object) -> JobRecord:
    """A job that has ended."""
    job = await client.submit(bus, small.spec(prompt, **fields))
    assert isinstance(await client.wait(bus, job.job_id), messages.JobDone | messages.JobFailed)
    return job


def canary() -> str:
    return f"heron{secrets.token_hex(8)}"


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
async def test_of_a_removed_job_nothing_is_left_on_the_disk(
    nats_server: Server, bus: Bus, tmp_path: Path, size: int
) -> None:
    prompt = canary()
    async with platform(bus, tmp_path, size):
        job = await drawn(bus, prompt, seed=5)
        picture, latent = small.expected(5, size), small.handed_over(5, size)
        assert (await client.fetch_result(bus, job.job_id)).images == (picture,)
        assert lies(nats_server, prompt.encode()) and lies(nats_server, picture[-64:]), "what is looked for is there"
        await client.remove(bus, job.job_id)
        await until_gone(nats_server, prompt.encode(), picture[-64:], latent[:64])
        # And the platform goes on.
        await drawn(bus, canary(), seed=6)


async def test_a_job_whose_time_is_over_leaves_nothing_either(nats_server: Server, bus: Bus, tmp_path: Path) -> None:
    prompt = canary()
    async with platform(bus, tmp_path):
        await drawn(bus, prompt, seed=5, ttlSecondsAfterFinished=1)
        assert lies(nats_server, prompt.encode())
        await until_gone(nats_server, prompt.encode(), small.expected(5)[-64:])


async def test_a_job_that_was_given_up_leaves_no_dead_letter_behind(
    nats_server: Server, bus: Bus, tmp_path: Path
) -> None:
    prompt = canary()
    async with platform(bus, tmp_path):
        job = await drawn(bus, prompt)
        await streams.store(bus, subjects.dead(job.job_id), prompt.encode())
        await client.remove(bus, job.job_id)
        assert await streams.count(bus, subjects.STREAM_DEAD, subjects.dead(job.job_id)) == 0
        await until_gone(nats_server, prompt.encode())


async def test_beside_a_job_that_stays_it_can_be_read_by_nobody_and_goes_with_it_at_the_latest(
    nats_server: Server, bus: Bus, tmp_path: Path
) -> None:
    first, second = canary(), canary()
    async with platform(bus, tmp_path):
        stays = await drawn(bus, first, seed=5)
        goes = await drawn(bus, second, seed=6)
        await client.remove(bus, goes.job_id)
        assert [record.job_id for record in await client.list_jobs(bus)] == [stays.job_id]
        for name in (subjects.KV_JOBS, subjects.KV_RESULTS):
            assert second.encode() not in b"".join(entry.value or b"" for entry in await Bucket(bus, name).entries())
        assert (await client.fetch_result(bus, stays.job_id)).images == (small.expected(5),)
        await client.remove(bus, stays.job_id)
        await until_gone(nats_server, first.encode(), second.encode())


async def empty(bus: Bus) -> Bucket:
    bucket = Bucket(bus, "test")
    await asyncio.gather(bucket.ensure(), Bucket(bus, subjects.KV_FORGOTTEN).ensure())
    return bucket


async def test_marks_of_removal_go_and_entries_do_not(bus: Bus) -> None:
    bucket = await empty(bus)

    async def marks() -> int:
        return await streams.count(bus, "KV_test", "$KV.test.>") - len(await bucket.entries())

    for key in ("a", "b", "c", "d"):
        await bucket.put(key, key.encode())
    for key in ("a", "b", "d"):
        await bucket.remove(key)
    await bucket.forget(60.0)
    assert await marks() == 3, "they are young: somebody may not have seen them"
    await bucket.forget(0.0)
    assert await marks() == 3, "they lie behind one that lives"
    await bucket.put("c", b"again")
    await bucket.forget(0.0)
    assert await marks() == 0
    (left,) = await bucket.entries()
    assert (left.key, left.value) == ("c", b"again")
    assert isinstance(await bucket.create("a", b"new"), int)


async def test_a_key_that_comes_back_while_marks_are_dropped_is_not_lost(bus: Bus) -> None:
    bucket = await empty(bus)
    for number in range(50):
        await bucket.put(f"k{number}", b"old")
        await bucket.remove(f"k{number}")
    dropping = asyncio.create_task(bucket.forget(0.0))
    made = [await bucket.create(f"k{number}", b"new") for number in range(50)]
    await dropping
    await bucket.forget(0.0)
    assert all(isinstance(revision, int) for revision in made)
    assert {entry.value for entry in await bucket.entries()} == {b"new"} and len(await bucket.entries()) == 50


async def filled(bus: Bus) -> Bucket:
    """Keys that were written, removed and dropped, in one file of the store with others that stay."""
    bucket = await empty(bus)
    for word in (b"old", b"older"):
        for number in range(10):
            await bucket.put(f"goes{number}", word * 200)
    for number in range(10):
        await bucket.remove(f"goes{number}")
    for number in range(40):
        await bucket.put(f"stays{number}", b"new" * 200)
    await bucket.forget(0.0)
    await bucket.put("last", b"new")
    return bucket


async def test_what_was_dropped_does_not_come_back_with_a_server_that_was_killed(bus: Bus, nats_server: Server) -> None:
    bucket = await filled(bus)
    stay = {entry.key for entry in await bucket.entries()}
    assert len(stay) == 41
    nats_server.kill()
    nats_server.start()
    await streams.api(bus, "STREAM.INFO.KV_test", patience=20.0)
    await bucket.forget(60.0)
    assert {entry.key for entry in await bucket.entries()} == stay


async def test_of_a_stream_that_was_made_anew_nothing_is_dropped(bus: Bus) -> None:
    await filled(bus)
    await streams.api(bus, "STREAM.DELETE.KV_test")
    bucket = await empty(bus)
    await bucket.put("first", b"new")
    await bucket.forget(0.0)
    assert [entry.key for entry in await bucket.entries()] == ["first"]


async def test_jobs_that_were_removed_stay_removed_when_the_server_was_killed(
    bus: Bus, tmp_path: Path, nats_server: Server
) -> None:
    async with platform(bus, tmp_path):
        for seed in (5, 6, 7):
            await client.remove(bus, (await drawn(bus, canary(), seed=seed)).job_id)
        stays = [await drawn(bus, canary(), seed=seed) for seed in (8, 9)]
        async with asyncio.timeout(30):
            while await streams.count(bus, "KV_rise_jobs", "$KV.rise_jobs.>") > len(stays):
                await asyncio.sleep(0.05)
        stays.append(await drawn(bus, canary(), seed=10))
        nats_server.kill()
        nats_server.start()
        await streams.api(bus, "STREAM.INFO.KV_rise_jobs", patience=20.0)
        left = {job.job_id for job in stays}
        for name in (subjects.KV_JOBS, subjects.KV_RESULTS, subjects.KV_FENCES):
            async with asyncio.timeout(30):
                while {entry.key for entry in await Bucket(bus, name).entries()} - left:
                    await asyncio.sleep(0.05)
        assert {record.job_id for record in await client.list_jobs(bus)} == left
