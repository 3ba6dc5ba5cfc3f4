"""What a device could do with rights that it has, on a server that checks the subject of a message and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest

from rise_contracts import subjects
from rise_contracts.rights import Principal
from rise_runtime import layout, streams
from rise_runtime.bus import Incoming
from rise_runtime.pulls import Delivery
from tests.bus.runtime.small import until
from tests.bus.security.matrix import DEVICE, EDGE, OPERATOR, OTHER, STRANGER, USER
from tests.bus.security.people import Crowd

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORGED = b'{"kind":"job-done"}'
OWN_BLOB = "rise.blobs.device.device-1.device-1.job-1.result.1.0123.0"
RESULT = "$KV.rise_results.job-forged"
STREAM = subjects.work_stream("device")

ASKING = {
    "a message that it wrote itself": f"$JS.API.DIRECT.GET.RISE_BLOBS.{OWN_BLOB}",
    "the confirmation of a message": OWN_BLOB,
    "what JetStream tells of itself": "$JS.API.INFO",
    "its next task": f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.device-1",
    "the state of its queue": f"$JS.API.CONSUMER.INFO.{STREAM}.device-1",
    "the confirmation of an acknowledgement": f"$JS.ACK.{STREAM}.device-1.1.999.1.1.0",
    "a fence": "$JS.API.DIRECT.GET.KV_rise_fences.$KV.rise_fences.job-1",
}


async def results(crowd: Crowd, subject: str = RESULT) -> int:
    return await streams.count(crowd.root, "KV_rise_results", subject)


@pytest.mark.parametrize("what", ASKING)
async def test_no_answer_goes_where_the_device_may_not_write(crowd: Crowd, what: str) -> None:
    """NATS does not check to where an answer is wanted: within one account this would be a result of anybody's job."""
    device = crowd.buses[DEVICE]
    await streams.store(device, OWN_BLOB, FORGED)
    heard: list[Incoming] = []
    listening = [await crowd.buses[USER].subscribe(f"{USER.inbox}.mine", heard.append)]
    for reply in (RESULT, "$KV.rise_jobs.job-1", "rise.work.edge.any.job-1.1", f"{USER.inbox}.mine"):
        await streams.store(crowd.root, subjects.work("device", "device-1", "job-1", 1), b"a task")
        await crowd.settled()
        await device.publish(ASKING[what], FORGED, reply=reply)
        # Answers of JetStream come from threads of its own: what is asked for afterwards is answered later.
        await device.request(f"$JS.API.CONSUMER.INFO.{STREAM}.any")
        await crowd.root.request(f"$JS.API.STREAM.INFO.{STREAM}")
        assert [message.subject for message in await crowd.settled() if message.subject == reply] == []
    await crowd.buses[USER].barrier()
    assert heard == []
    assert await results(crowd) == 0
    for one in listening:
        await one.stop()


async def test_within_one_account_an_answer_does_go_there(crowd: Crowd) -> None:
    """So that the test above means something: the same from somebody of the platform's own account."""
    await streams.store(crowd.root, OWN_BLOB, FORGED)
    await crowd.root.publish(ASKING["a message that it wrote itself"], reply="$KV.rise_results.job-within")
    async with asyncio.timeout(10):
        while await results(crowd, "$KV.rise_results.job-within") == 0:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("headers", [
    {"Nats-Trace-Dest": RESULT},
    {"Nats-Trace-Dest": RESULT, "Nats-Trace-Only": "true"},
    {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": RESULT},
    {"Nats-Rollup": "all"},
    {"Nats-Rollup": "sub"},
    {"KV-Operation": "PURGE", "Nats-Rollup": "all"},
])  # fmt: skip
async def test_no_header_reaches_what_is_not_its_own(crowd: Crowd, headers: Mapping[str, str]) -> None:
    workers = f"$KV.{subjects.KV_WORKERS}"
    await streams.store(crowd.buses[EDGE], f"{workers}.edge.edge.edge-1", b"alive")
    await streams.store(crowd.buses[OTHER], f"{workers}.device.device.device-2", b"alive")
    for subject in (f"{workers}.device.device.device-1", OWN_BLOB, "rise.offers.device.device-1.job-1.job-done"):
        await crowd.buses[DEVICE].publish(subject, FORGED, headers=headers)
    await crowd.settled()
    for key in ("edge.edge.edge-1", "device.device.device-2"):
        there = await streams.last(crowd.root, f"KV_{subjects.KV_WORKERS}", f"{workers}.{key}")
        assert there is not None and there.data == b"alive"
    assert await results(crowd) == 0


async def taken(crowd: Crowd, who: Principal, lane: str | None) -> list[Delivery]:
    """All that lies in a queue, as this device takes it."""
    queue = layout.queue(crowd.buses[who], who.pool, lane, made=False)
    await queue.start()
    found = []
    while (delivery := await queue.waiting()) is not None:
        await delivery.ack()
        found.append(delivery)
    await queue.stop()
    return found


async def test_a_device_takes_its_own_work_and_its_pools_and_no_other(crowd: Crowd) -> None:
    for pool in ("edge", "device", "phones"):
        await streams.purge(crowd.root, subjects.work_stream(pool), ">")
    lanes = (("edge", None), ("device", None), ("device", "device-1"), ("device", "device-2"), ("phones", "phone-1"))
    for number, (pool, worker) in enumerate(lanes):
        await streams.store(crowd.buses[OPERATOR], subjects.work(pool, worker, f"job-{number}", 1), b"a prompt")
    assert [one.subject for one in await taken(crowd, DEVICE, "device-1")] == ["rise.work.device.device-1.job-2.1"]
    assert [one.subject for one in await taken(crowd, DEVICE, None)] == ["rise.work.device.any.job-1.1"]
    assert [one.subject for one in await taken(crowd, STRANGER, "phone-1")] == ["rise.work.phones.phone-1.job-4.1"]
    for pool, worker in (("edge", None), ("device", "device-2")):
        assert (
            await streams.last(crowd.root, subjects.work_stream(pool), subjects.work_filter(pool, worker)) is not None
        )


async def test_a_device_reads_the_bytes_of_its_lanes_with_wildcards_too(crowd: Crowd) -> None:
    """A wildcard in what is asked for reaches as far as the right, and no farther."""
    for lane in ("edge.any", "device.any", "device.device-1", "device.device-2", "phones.phone-1"):
        await streams.store(crowd.root, f"rise.blobs.{lane}.RISE.job-1.handoff.1.0123.0", lane.encode())
    for lane in ("device.any", "device.device-1"):
        found = await streams.last(crowd.buses[DEVICE], "RISE_BLOBS", f"rise.blobs.{lane}.>")
        assert found is not None and found.data == lane.encode()


async def test_what_a_device_asks_for_in_the_body_is_not_given(crowd: Crowd) -> None:
    """A direct get takes its subject from the address or from the body: the address holds."""
    await streams.store(crowd.root, "rise.blobs.edge.any.RISE.job-1.handoff.1.0123.0", b"somebody else's latent")
    for body in (
        {"seq": 1},
        {"last_by_subj": "rise.blobs.edge.any.RISE.job-1.handoff.1.0123.0"},
        {"multi_last": ["rise.>"]},
    ):
        got = await crowd.buses[DEVICE].request(f"$JS.API.DIRECT.GET.RISE_BLOBS.{OWN_BLOB}", json.dumps(body).encode())
        assert b"latent" not in got.data


async def test_a_device_hears_of_cancellations(crowd: Crowd) -> None:
    heard: list[bytes] = []
    subscription = await crowd.buses[DEVICE].subscribe(subjects.ALL_CANCELS, lambda message: heard.append(message.data))
    await crowd.buses[DEVICE].barrier()
    await crowd.buses[USER].publish(subjects.cancel("job-1"), b"stop")
    await until(lambda: heard == [b"stop"])
    await subscription.stop()
