"""A stage that is interrupted after any of its steps ends with the bits of the one that was not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
import torch

from rise_contracts.errors import HandoffRefused, Refusal
from rise_contracts.messages import JobRequest, StageTask
from rise_contracts.model import Solver, WireDtype
from rise_contracts.resources import ModelFamily, RelayJobSpec
from rise_runtime.seam import Checkpoint, Handoff, Identity, Pictures, StageContext, StageResult, Stopped
from rise_stage import checkpoints
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from rise_stage.handler import Handler
from tests.model.one_side import SOLVERS, STEPS, uncut
from tests.model.tiny import FLOWS

RELAY = "large:6@1.2+small:4"
AT_ONCE = 1e-9
"""Seconds between two checkpoints that make the first one of a worker due after its first step."""


@dataclass
class Kept:
    """Takes what is given, as the bus would. It takes none of this process's time."""

    given: list[Checkpoint] = field(default_factory=list)
    seconds: float = 0.0

    def give(self, checkpoint: Checkpoint) -> None:
        self.given.append(checkpoint)


@dataclass
class Trial:
    """One delivery of a task to a handler; `stop_at` interrupts it after that step."""

    resume: Checkpoint | None = None
    stop_at: int = 0
    kept: Kept = field(default_factory=Kept)
    steps: list[int] = field(default_factory=list)
    context: StageContext = field(init=False)

    def __post_init__(self) -> None:
        self.context = StageContext(Identity("w", "edge", "edge"), 2, self._emit, self.kept, self.resume)

    def _emit(self, step: int, steps: int, sigma: float, seconds_per_step: float) -> None:
        self.steps.append(step)
        if step == self.stop_at:
            self.context.stop("superseded")


def task(
    family: ModelFamily,
    arm: str,
    solver: Solver = "euler",
    head: Handoff | None = None,
    dtype: WireDtype = "fp16",
    **spec: object,
) -> StageTask:
    wanted = RelayJobSpec.model_validate({"family": "tiny", "prompt": "a red dot", **spec})
    return StageTask(
        job_id="job-1",
        attempt=1,
        stage_index=0 if head is None else 1,
        request=JobRequest(job_id="job-1", spec=wanted, seed=7, accepted_at=0.0),
        configuration=configuration_of(arm, family, solver=solver, wire_dtype=dtype),
        handoff=None if head is None else head.header,
    )


@pytest.mark.parametrize(
    ("architecture", "solver"),
    [*itertools.product(("sd", "sdxl", "pixart"), SOLVERS), *((flow, "euler") for flow in FLOWS)],
)
def test_going_on_after_any_step_gives_the_same_bits(
    architecture: str, solver: Solver, request: pytest.FixtureRequest
) -> None:
    engine: Engine = request.getfixturevalue(f"{architecture}_engine")
    wanted = task(engine.manifest, f"large:{STEPS}", solver)
    grid = engine.grid(uncut(engine.manifest, solver), 0)
    prompts = engine.encode(["a red dot"], 5.0)
    steps = list(engine.run("large", prompts, engine.noise([3]), grid, solver))
    for step in steps[:-1]:
        checkpoint = checkpoints.keep(engine, wanted, step, 1.0)
        latent, rest = checkpoints.resumed(engine, wanted, checkpoint, grid)
        *_, last = engine.run("large", prompts, latent, rest, solver)
        assert torch.equal(last.x, steps[-1].x), step.index
        assert (last.past is None) == (steps[-1].past is None)


def worker(engine: Engine, every_s: float = AT_ONCE) -> Handler:
    """One that has never made a checkpoint yet."""
    return Handler([engine.manifest], lambda family: engine, checkpoint_s=every_s)


def whole(engine: Engine, wanted: StageTask, payload: bytes = b"") -> StageResult:
    return worker(engine, 0)(wanted, payload, Trial().context)


def worn_out(engine: Engine, wanted: StageTask, payload: bytes = b"") -> tuple[StageResult, list[int]]:
    """The result of workers of which each dies after two steps, and at which step each went on."""
    resume, went_on = None, []
    while True:
        done = 0 if resume is None else resume.step
        trial = Trial(resume, stop_at=done + 2)
        try:
            result = worker(engine)(wanted, payload, trial.context)
        except Stopped:
            went_on.append(trial.context.resumed_at)
            assert trial.steps == [done + 1, done + 2]
            resume = trial.kept.given[0]
            assert resume.step == done + 1
        else:
            return result, [*went_on, trial.context.resumed_at]


@pytest.mark.parametrize("dtype", ["fp16", "q8"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_stages_whose_workers_all_die_end_with_the_same_bytes(
    solver: Solver, dtype: WireDtype, sd: ModelFamily, sd_engine: Engine
) -> None:
    """In the head and in the tail, whatever the handoff between them loses."""
    head = task(sd, RELAY, solver, dtype=dtype)
    wanted = whole(sd_engine, head)
    got, went_on = worn_out(sd_engine, head)
    assert isinstance(wanted, Handoff)
    assert isinstance(got, Handoff)
    assert went_on == [0, 1, 2, 3, 4]
    assert (got.header, got.payload, got.steps) == (wanted.header, wanted.payload, 6)
    tail = task(sd, RELAY, solver, wanted, dtype)
    pictures, ended = worn_out(sd_engine, tail, wanted.payload), whole(sd_engine, tail, wanted.payload)
    assert isinstance(ended, Pictures)
    assert isinstance(pictures[0], Pictures)
    assert pictures[1] == [0, 1, 2]
    assert (pictures[0].pictures, pictures[0].steps) == (ended.pictures, 4)


def test_several_images_go_on_together(sd: ModelFamily, sd_engine: Engine) -> None:
    wanted = task(sd, "large:4", "unipc", images=3, width=96, height=48)
    got, _ = worn_out(sd_engine, wanted)
    expected = whole(sd_engine, wanted)
    assert isinstance(got, Pictures)
    assert isinstance(expected, Pictures)
    assert got.pictures == expected.pictures


def test_what_it_cost_is_its_own_part_of_the_time(sd: ModelFamily, sd_engine: Engine) -> None:
    trial = Trial()
    result = worker(sd_engine)(task(sd, "large:4"), b"", trial.context)
    assert result.timings["checkpoint"] > 0
    assert trial.kept.given[0].seconds > 0
    again = Trial(replace(trial.kept.given[0], seconds=100.0), stop_at=3)
    with pytest.raises(Stopped):
        worker(sd_engine)(task(sd, "large:4"), b"", again.context)
    assert 100 < again.kept.given[0].seconds < 200


@pytest.mark.parametrize("every_s", [0, 3600])
def test_none_is_made_before_its_time(every_s: float, sd: ModelFamily, sd_engine: Engine) -> None:
    trial = Trial()
    worker(sd_engine, every_s)(task(sd, "large:4"), b"", trial.context)
    assert trial.kept.given == []
    assert trial.steps == [1, 2, 3, 4]


def test_what_the_last_one_cost_keeps_the_next_away(sd: ModelFamily, sd_engine: Engine) -> None:
    trial = Trial(kept=Kept(seconds=3600.0))
    worker(sd_engine)(task(sd, "large:6"), b"", trial.context)
    assert trial.kept.given == []
    slow = worker(sd_engine)
    first, second = Trial(), Trial()
    for one in (first, second):
        slow(task(sd, "large:6"), b"", one.context)
        one.kept.seconds = 3600.0
    assert first.kept.given[0].step == 1


def test_a_latent_that_is_not_finite_fails_no_stage_on_the_way(sd: ModelFamily, sd_engine: Engine) -> None:
    """The stage says so itself, at its end."""
    wanted = task(sd, f"large:{STEPS}")
    grid = sd_engine.grid(uncut(sd, "euler"), 0)
    first = next(sd_engine.run("large", sd_engine.encode(["a red dot"]), sd_engine.noise([3]), grid))
    trial = Trial()
    keeping = checkpoints.Keeping(sd_engine, wanted, trial.context, checkpoints.Habit(AT_ONCE))
    keeping.begin(sd_engine.noise([3]), grid)
    keeping.note(replace(first, x=first.x * float("nan")), 0.1)
    assert trial.kept.given == []


def header(checkpoint: Checkpoint, **changes: object) -> Checkpoint:
    return replace(checkpoint, header=checkpoint.header.model_copy(update=changes))


def payload(checkpoint: Checkpoint, data: bytes) -> Checkpoint:
    return replace(checkpoint, payload=data)


FOREIGN: dict[str, tuple[Callable[[Checkpoint], Checkpoint], Refusal]] = {
    "of another job": (lambda it: header(it, job="job-2"), Refusal.JOB),
    "of another attempt": (lambda it: header(it, attempt=2), Refusal.ATTEMPT),
    "of another stage": (lambda it: header(it, stage=1), Refusal.STAGE),
    "of another family": (lambda it: header(it, family="other"), Refusal.FAMILY),
    "of another latent space": (lambda it: header(it, latent_contract="b" * 64), Refusal.LATENT_CONTRACT),
    "of another solver": (lambda it: header(it, solver="ddim"), Refusal.SOLVER),
    "of another size": (lambda it: header(it, shape=(1, 4, 8, 8)), Refusal.SHAPE),
    "of fewer bits": (lambda it: header(it, dtype="fp16"), Refusal.DTYPE),
    "of another step": (lambda it: replace(it, step=2), Refusal.SIGMA),
    "of a level nearly right": (
        lambda it: header(it, sigma=it.header.sigma * (1 + 1e-7)),
        Refusal.SIGMA,
    ),
    "of no step": (lambda it: replace(it, step=0), Refusal.STAGE),
    "of the last step": (lambda it: replace(it, step=4), Refusal.STAGE),
    "cut short": (lambda it: payload(it, it.payload[:-1]), Refusal.SIZE),
    "damaged": (lambda it: payload(it, it.payload[:-1] + b"?"), Refusal.DIGEST),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_checkpoint_that_is_not_of_the_stage_is_refused_and_the_stage_begins_anew(
    case: str, sd: ModelFamily, sd_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    spoil, refusal = FOREIGN[case]
    wanted = task(sd, "large:4")
    first = Trial(stop_at=2)
    with pytest.raises(Stopped):
        worker(sd_engine)(wanted, b"", first.context)
    foreign = spoil(first.kept.given[0])
    grid = sd_engine.grid(wanted.configuration, 0)
    with pytest.raises(HandoffRefused) as caught:
        checkpoints.resumed(sd_engine, wanted, foreign, grid)
    assert caught.value.refusal is refusal
    second = Trial(foreign)
    result = worker(sd_engine, 0)(wanted, b"", second.context)
    assert second.steps == [1, 2, 3, 4]
    assert second.context.resumed_at == 0
    assert "begins anew" in caplog.text
    expected = whole(sd_engine, wanted)
    assert isinstance(result, Pictures)
    assert isinstance(expected, Pictures)
    assert result.pictures == expected.pictures
