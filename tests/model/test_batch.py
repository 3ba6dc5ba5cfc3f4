"""Jobs in company: every row is what it is alone, whoever joins, leaves, fails or is cancelled beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

import pytest
import torch
from torch import Tensor

import rise_shapes
from benchmarks import batch as benchmark
from rise_contracts.model import Solver
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.asking import Asking, Cost
from rise_stage.engine.batch import TOLERANCE, Answer, Ask, Batch
from rise_stage.engine.latents import Latent
from rise_stage.engine.run import Step
from rise_stage.rounds import Rounds

VP: tuple[Solver, ...] = ("euler", "heun", "ddim", "dpmpp_2m", "unipc")
FLOW: tuple[Solver, ...] = ("euler",)


@dataclass(frozen=True)
class Job:
    """A stage to compute: from noise, or from `sigma` on."""

    prompt: str
    solver: Solver = "euler"
    steps: int = 6
    guidance: float = 1.0
    images: int = 1
    sigma: float | None = None
    seed: int = 1

    def asking(self, engine: Engine, on_step: Callable[[Step, Cost], None] = lambda step, cost: None) -> Asking[Step]:
        configuration = configuration_of(f"large:{self.steps}", engine.manifest, solver=self.solver)
        prompts = engine.encode([self.prompt], self.guidance).rows(self.images)
        noise = engine.noise(range(self.seed, self.seed + self.images))
        start = noise if self.sigma is None else Latent(noise * self.sigma, self.sigma)
        grid = engine.grid(configuration, 0, self.sigma)
        return engine.ask("large", prompts, start, grid, self.solver, on_step)


def jobs(solvers: Sequence[Solver]) -> list[Job]:
    """Different sigmas, cuts, prompts, steps, solvers, guidance and numbers of images."""
    heads = [Job("a red dot", solver, steps=5 + at, seed=at) for at, solver in enumerate(solvers)]
    tails = [Job("a blue dot", solver, steps=4, guidance=3.0, sigma=1.2 + at) for at, solver in enumerate(solvers)]
    return [*heads, *tails, Job("a dot", steps=3, guidance=7.5, images=2), Job("", steps=8, images=3, sigma=0.7)]


class Watched(Batch):
    """Notes how many jobs each pass had, and what it was told to do before one."""

    def __init__(self, limit: int | None = None, before: Callable[[int], None] = lambda count: None) -> None:
        super().__init__(limit)
        self.shared: list[int] = []
        self._before = before

    def forward(self, asks: Sequence[Ask]) -> list[Answer | Exception]:
        self._before(len(self.shared))
        self.shared.append(len(asks))
        return super().forward(asks)


@dataclass
class Company:
    """Rounds that begin when everybody is there."""

    batch: Watched = field(default_factory=Watched)

    def __post_init__(self) -> None:
        self.rounds = Rounds(self.batch)
        self._gate = threading.Event()
        self.rounds.start(self._wait, lambda: None)

    def add(self, begin: Callable[[], Asking[Step]], check: Callable[[], None] = lambda: None) -> Future[Step]:
        return self.rounds.start(begin, check)

    def run(self, *futures: Future[Step]) -> list[Tensor]:
        self._gate.set()
        return [future.result(120).x for future in futures]

    def _wait(self) -> Asking[None]:
        self._gate.wait(60)
        yield from ()


def alone(engine: Engine, job: Job) -> Tensor:
    return Rounds(Batch()).run(partial(job.asking, engine), lambda: None).x


def far(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.fixture(scope="module")
def embedded_engine() -> Engine:
    return Engine.load(rise_shapes.family(), ["large"])


FAMILIES = {"sd": VP, "embedded": VP, "pixart": VP, "sdxl": ("euler", "unipc"), "sd3": FLOW, "flux": FLOW}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_job_in_company_is_the_job_alone(family: str, request: pytest.FixtureRequest) -> None:
    engine: Engine = request.getfixturevalue(f"{family}_engine")
    company, every = Company(), jobs(FAMILIES[family])
    found = company.run(*[company.add(partial(job.asking, engine)) for job in every])
    assert max(company.batch.shared) == len(every)
    for job, x in zip(every, found, strict=True):
        assert far(x, alone(engine, job)) <= TOLERANCE, job


@pytest.mark.parametrize("solver", VP)
def test_a_job_alone_is_bit_equal_to_a_run(solver: Solver, sd_engine: Engine) -> None:
    for job in (Job("a red dot", solver, guidance=4.0), Job("a dot", solver, images=2, sigma=2.0)):
        *_, last = [*_run(sd_engine, job)]
        assert torch.equal(alone(sd_engine, job), last.x)


def _run(engine: Engine, job: Job) -> Sequence[Step]:
    configuration = configuration_of(f"large:{job.steps}", engine.manifest, solver=job.solver)
    noise = engine.noise(range(job.seed, job.seed + job.images))
    start = noise if job.sigma is None else Latent(noise * job.sigma, job.sigma)
    prompts = engine.encode([job.prompt], job.guidance).rows(job.images)
    return list(engine.run("large", prompts, start, engine.grid(configuration, 0, job.sigma), job.solver))


def test_members_and_sizes_that_do_not_fit_together_take_turns(sd_engine: Engine) -> None:
    company = Company()

    def small() -> Asking[Step]:
        configuration = configuration_of("small:3", sd_engine.manifest)
        prompts = sd_engine.encode(["a red dot"])
        grid = sd_engine.grid(configuration, 0)
        return sd_engine.ask("small", prompts, sd_engine.noise([1]), grid, "euler", lambda step, cost: None)

    job = Job("a red dot", steps=3)
    company.run(*[company.add(begin) for begin in (partial(job.asking, sd_engine), small, small)])
    assert company.batch.shared == [1, 2] * 3


def test_a_job_joins_between_two_steps_and_leaves_when_it_has_ended(sd_engine: Engine) -> None:
    first, second = Job("a red dot", steps=6, seed=1), Job("a blue dot", steps=3, seed=2)
    later: list[Future[Step]] = []
    company = Company()

    def on_step(step: Step, cost: Cost) -> None:
        assert cost.alone == (step.index in (0, 1, 5))
        assert 0 < cost.share <= cost.seconds <= step.seconds + 0.01
        if step.index == 1:
            later.append(company.add(partial(second.asking, sd_engine)))

    (x,) = company.run(company.add(partial(first.asking, sd_engine, on_step)))
    assert company.batch.shared == [1, 1, 2, 2, 2, 1]
    assert far(x, alone(sd_engine, first)) <= TOLERANCE
    assert far(later[0].result(60).x, alone(sd_engine, second)) <= TOLERANCE


class Unwanted(Exception):
    pass


def test_a_cancelled_job_frees_its_row_before_the_next_pass(sd_engine: Engine) -> None:
    cancelled = threading.Event()
    batch = Watched(before=lambda count: cancelled.set() if count == 2 else None)
    company, stays, goes = Company(batch), Job("a red dot"), Job("a blue dot", steps=9)

    def check() -> None:
        if cancelled.is_set():
            raise Unwanted

    leaving = company.add(partial(goes.asking, sd_engine), check)
    (x,) = company.run(company.add(partial(stays.asking, sd_engine)))
    with pytest.raises(Unwanted):
        leaving.result(60)
    assert company.batch.shared == [2, 2, 2, 1, 1, 1]
    assert far(x, alone(sd_engine, stays)) <= TOLERANCE


def test_a_job_that_fails_leaves_the_others_as_they_are(sd_engine: Engine) -> None:
    company, stays = Company(), Job("a red dot")

    def failing(step: Step, cost: Cost) -> None:
        raise ValueError("this job cannot go on")

    def malformed() -> Generator[Ask, Answer, Step]:
        ask = next(stays.asking(sd_engine))
        yield Ask(ask.network, (ask.inputs[0], ask.inputs[1], ask.inputs[2][..., :5]))
        raise AssertionError("a network took conditioning of another width")

    def broken() -> Asking[Step]:
        raise KeyError("its prompt")

    fails = [company.add(begin) for begin in (partial(stays.asking, sd_engine, failing), malformed, broken)]
    (x,) = company.run(company.add(partial(stays.asking, sd_engine)))
    for future, error in zip(fails, (ValueError, RuntimeError, KeyError), strict=True):
        with pytest.raises(error):
            future.result(60)
    assert far(x, alone(sd_engine, stays)) <= TOLERANCE


def test_a_pass_holds_as_many_rows_as_fit(sd_engine: Engine) -> None:
    (ask,) = [next(Job("a red dot").asking(sd_engine))]
    row = sd_engine.member("large").row_bytes(*ask.inputs)
    assert row > 4 * ask.inputs[0].numel()
    company = Company(Watched(limit=3 * row))
    every = [Job("a red dot", steps=2, seed=seed) for seed in range(5)]
    found = company.run(*[company.add(partial(job.asking, sd_engine)) for job in every])
    assert company.batch.shared == [3, 2] * 2
    assert all(far(x, alone(sd_engine, job)) <= TOLERANCE for x, job in zip(found, every, strict=True))


def test_the_benchmark_compares_three_ways_to_the_same_heads(embedded_engine: Engine) -> None:
    every = benchmark.heads(embedded_engine, 7)
    stages = [head.configuration.stages[0] for head in every]
    for differs in ("steps", "sigma_to", "guidance"):
        assert len({getattr(stage, differs) for stage in stages}) > 1, differs
    alone = benchmark.one_by_one(embedded_engine, every)
    for way in (benchmark.in_company, benchmark.in_groups):
        assert benchmark.far(way(embedded_engine, every, 3), alone) <= TOLERANCE
    assert all(len(made.payload) > 2 * made.x.numel() for made in alone)
