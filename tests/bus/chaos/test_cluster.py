"""Three servers: every stream has three copies, and no job notices for long that one of them is killed."""

from __future__ import annotations

from pathlib import Path

from benchmarks.chaos import cells, matrix
from benchmarks.chaos.world import Makeup
from rise_contracts import subjects
from rise_runtime import layout, streams
from rise_runtime.bus import MOST_REPLICAS, Bus


async def copies(bus: Bus, stream: str) -> int:
    return int((await streams.api(bus, f"STREAM.INFO.{stream}"))["config"]["num_replicas"])


async def test_a_cluster_that_loses_its_leader_loses_nothing_else(tmp_path: Path) -> None:
    makeup = Makeup("light", edge=1, device=1, servers=3, ack_wait_s=1.0)
    async with matrix.stage(makeup, tmp_path / "world") as on:
        bus = on.world.bus
        names = (await streams.api(bus, "STREAM.NAMES"))["streams"]
        assert {name: await copies(bus, name) for name in names} == dict.fromkeys(names, MOST_REPLICAS)
        bus.replicas = 1  # as for somebody who came while the others were away
        await layout.ensure(bus)
        assert await copies(bus, subjects.STREAM_EVENTS) == MOST_REPLICAS, "a stream keeps the copies it has"
        (cell,) = cells.cells(f"{cells.CLUSTER} {cells.NO_LEADER}, between latent stored and ack")
        result = await matrix.run_cell(on, cell)
        assert result.right, matrix.line(result)


async def test_a_server_alone_has_one_copy_of_each(bus: Bus) -> None:
    await layout.ensure(bus)
    assert bus.replicas == 1
    assert await copies(bus, subjects.STREAM_EVENTS) == 1
    await layout.ensure(bus)
