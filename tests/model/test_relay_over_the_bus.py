"""Runs cut in two and in three, each part in a worker process of its own, the latent over a real nats-server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from rise_contracts import manifest, messages
from rise_contracts.configuration import Configuration
from rise_contracts.model import Solver
from rise_contracts.resources import ModelFamily, RelayJobSpec
from rise_runtime import client, layout
from rise_runtime.bus import Bus, connect
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from tests.model.one_side import CUTS, ON_A_FLOW, SOLVERS, STEPS, cut_at, uncut
from tests.model.workers import beating, platform, worker
from tests.rings import lacks_nats_server
from tests.servers import Server

pytestmark = pytest.mark.skipif(bool(lacks_nats_server()), reason=lacks_nats_server())

POOLS = ("edge", "device", "third")


def renamed(family: ModelFamily, name: str) -> ModelFamily:
    return family.model_copy(update={"metadata": family.metadata.model_copy(update={"name": name})})


@pytest.fixture(scope="module")
def flow(sd3: ModelFamily) -> ModelFamily:
    return renamed(sd3, "tiny-flow")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("nats"))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def workers(
    server: Server, sd: ModelFamily, flow: ModelFamily, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Three processes with the large members of both families, each with a queue of its own."""
    folder = tmp_path_factory.mktemp("families")
    for family in (sd, flow):
        (folder / f"{family.metadata.name}.yaml").write_text(manifest.dump(family))
    more = ("--family", str(folder / "tiny-flow.yaml"), "--member", "large")
    with (
        worker(server, "edge", folder / "tiny.yaml", *more),
        worker(server, "device", folder / "tiny.yaml", *more),
        worker(server, "device", folder / "tiny.yaml", *more, "--name", "third-1", "--pool", "third"),
    ):
        yield server


@pytest.fixture
async def bus(workers: Server) -> AsyncIterator[Bus]:
    async with connect(workers.url, workers.token, patience=30) as opened:
        await layout.ensure(opened)
        await beating(opened, len(POOLS))
        yield opened


async def drawn(bus: Bus, family: ModelFamily, configuration: Configuration) -> tuple[tuple[bytes, ...], list[str]]:
    """The pictures of a job, and the workers that made its stages."""
    async with platform(bus, configuration):
        spec = RelayJobSpec(family=family.metadata.name, prompt="a red dot", seed=3)
        job = await client.submit(bus, spec)
        ending = await client.wait(bus, job.job_id)
        assert isinstance(ending, messages.JobDone), ending
        made = await client.fetch_result(bus, job.job_id)
        return made.images, [report.worker for report in ending.stages]


def spread(configuration: Configuration) -> Configuration:
    """The same with every stage in a pool of its own."""
    stages = [
        stage.model_copy(update={"tier": "edge" if pool == "edge" else "device", "pool": pool})
        for stage, pool in zip(configuration.stages, POOLS, strict=False)
    ]
    return configuration.model_copy(update={"stages": tuple(stages)})


def cut_in_three(engine: Engine, first: int, second: int, solver: Solver) -> Configuration:
    sigmas = engine.grid(uncut(engine.manifest, solver), 0).sigmas
    arm = f"large:{first}@{sigmas[first]!r}+large:{second}@{sigmas[first + second]!r}+large:{STEPS - first - second}"
    return configuration_of(arm, engine.manifest, solver=solver, shared_grid=True)


def parts(engine: Engine, solver: Solver) -> Sequence[Configuration]:
    """The run in two at every position, and in three."""
    return [*(cut_at(engine, cut, solver) for cut in CUTS), cut_in_three(engine, 1, 3, solver)]


@pytest.mark.parametrize("solver", SOLVERS)
async def test_a_run_in_processes_of_its_own_is_the_uncut_run(
    solver: Solver, bus: Bus, sd: ModelFamily, sd_engine: Engine
) -> None:
    whole, _ = await drawn(bus, sd, uncut(sd, solver))
    for configuration in parts(sd_engine, solver):
        pictures, made_by = await drawn(bus, sd, spread(configuration))
        assert made_by == ["edge-1", "device-1", "third-1"][: len(configuration.stages)]
        assert pictures == whole, configuration.arm


@pytest.mark.parametrize("solver", ON_A_FLOW)
async def test_so_is_a_flow(solver: Solver, bus: Bus, flow: ModelFamily, sd3_engine: Engine) -> None:
    whole, _ = await drawn(bus, flow, uncut(flow, solver))
    for configuration in parts(sd3_engine, solver):
        assert (await drawn(bus, flow, spread(configuration)))[0] == whole, configuration.arm
