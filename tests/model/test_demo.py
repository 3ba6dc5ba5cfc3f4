"""A few seconds of the scheduler's demo: real workers, paced and behind links, jobs judged and learned from."""

from __future__ import annotations

import asyncio
from pathlib import Path
from statistics import median

import pytest

import rise_shapes
from benchmarks.demo import play, world
from benchmarks.demo.platform import Ground, standing
from benchmarks.demo.play import Run, Way
from rise_contracts import codec, subjects
from rise_contracts.decisions import DecisionRecord
from rise_runtime.buckets import Bucket
from tests.rings import lacks_nats_server

SECONDS = 8.0
ARM = "large:3@1.8+finisher:6"
PATIENCE_S = 300.0

pytestmark = pytest.mark.skipif(bool(lacks_nats_server()), reason=lacks_nats_server() or "there is one")


async def learned(ground: Ground, count: int) -> list[DecisionRecord]:
    """The decisions whose quality was judged, once there are so many."""
    found: dict[str, DecisionRecord] = {}
    async with asyncio.timeout(PATIENCE_S):
        async for entry in Bucket(ground.bus, subjects.KV_DECISIONS).watch():
            if entry is None or entry.value is None:
                continue
            record = codec.decode(DecisionRecord, entry.value)
            if record.settlement is not None and record.settlement.final:
                found[record.decision.id] = record
            if len(found) == count:
                return list(found.values())
    raise AssertionError("the watch ended")


async def test_a_list_is_played_judged_and_learned_from(tmp_path: Path) -> None:
    family, asked = rise_shapes.family(), world.jobs(SECONDS)
    async with standing(tmp_path, "linucb") as ground:
        ours = await play.play(ground, Way(policy="linucb"), asked, SECONDS, family)
        settled = await learned(ground, len(asked))
        theirs = await play.play(ground, Way(arm=ARM), asked, SECONDS, family)
    assert (ours.name, ours.static, theirs.name, theirs.static) == ("linucb", False, ARM, True)
    for run in (ours, theirs):
        _is_whole(run, asked)
    assert {told.arm for told in theirs.jobs} == {ARM}
    assert all(told.workers[0] == world.EDGE for told in theirs.jobs)
    # A job in company is charged a share of each pass; most were alone.
    assert median(told.edge_s for told in theirs.jobs) >= 3 * world.PACE[world.EDGE]
    # A worker tells of a picture's steps, both rows of its guidance together; what it tells contains its waiting.
    assert ours.reference_s == pytest.approx(theirs.reference_s, rel=0.3)
    assert ours.reference_s >= 0.9 * 24 * world.PACE[world.EDGE]
    # What the scheduler learned of quality is what was seen here.
    assert sum(record.settlement.quality for record in settled if record.settlement) == pytest.approx(
        sum(told.quality for told in ours.jobs)
    )


def _is_whole(run: Run, asked: list[world.Asking]) -> None:
    assert [told.number for told in run.jobs] == list(range(len(asked)))
    assert not any(told.failed for told in run.jobs)
    assert all(told.latency_s > 0 and told.policy for told in run.jobs)
    assert run.samples and run.samples[-1].at > 0
