"""Two stages of unequal step counts: what the usual ways of matching their grids are wrong by, and that ours is not.

The grids are stock Euler's for SDXL. A ratio is the level that the receiver takes the latent to be at, to the level
that the sender left it at.
"""

from __future__ import annotations

from typing import get_args

import pytest

from rise_contracts.errors import InvalidInput
from rise_contracts.model import Grid as GridKind
from rise_contracts.model import Solver
from rise_contracts.resources import Member, Metadata, ModelFamily, ModelFamilySpec, Source
from rise_stage.engine import stock
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.flow import to_sigma
from rise_stage.engine.plan import stage_grid
from rise_stage.engine.schedules import Grid, same_sigma

SDXL: dict[str, object] = {
    "_class_name": "EulerDiscreteScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "timestep_spacing": "leading",
    "steps_offset": 1,
}
SD3: dict[str, object] = {"_class_name": stock.FLOW, "num_train_timesteps": 1000, "shift": 3.0}
FAMILY = ModelFamily(
    metadata=Metadata(name="tiny"),
    spec=ModelFamilySpec(base=Source(path="nowhere"), members=(Member(name="large"), Member(name="small"))),
)
PAIRS = [(50, 50, 0.5), (50, 30, 0.5), (50, 30, 0.8), (50, 20, 0.8), (30, 8, 0.5)]
"""Steps of a whole run by the sender and by the receiver, and how far the first one goes."""
SERVED = [
    (config, solver) for config in (SDXL, SD3) for solver in get_args(Solver) if config is SDXL or solver != "ddim"
]
BY_TIMESTEP = [1.0, 1.051, 1.080, 0.870, 0.674]
BY_FRACTION = [1.0, 0.942, 0.934, 0.870, 0.752]
BY_INDEX = [1.0, 0.275]


def steps_above(grid: Grid, done: float) -> int:
    """How many steps a pipeline that cuts by training timestep makes before it stops at the fraction `done`."""
    return sum(timestep >= round(1000 * (1 - done)) for timestep in grid.timesteps)


def grids(sender: int, receiver: int) -> tuple[Grid, Grid]:
    return stock.whole_grid(SDXL, "euler", sender), stock.whole_grid(SDXL, "euler", receiver)


@pytest.mark.parametrize(("pair", "ratio"), [*zip(PAIRS, BY_TIMESTEP, strict=True)])
def test_a_cut_by_training_timestep_meets_at_another_level(pair: tuple[int, int, float], ratio: float) -> None:
    """As ``denoising_end`` and ``denoising_start`` of the stock SDXL pipelines do."""
    sent, taken = grids(*pair[:2])
    found = taken.sigmas[steps_above(taken, pair[2])] / sent.sigmas[steps_above(sent, pair[2])]
    assert found == pytest.approx(ratio, abs=6e-4)


@pytest.mark.parametrize(("pair", "ratio"), [*zip(PAIRS, BY_FRACTION, strict=True)])
def test_a_cut_by_the_fraction_of_steps_meets_at_another_level(pair: tuple[int, int, float], ratio: float) -> None:
    sent, taken = grids(*pair[:2])
    found = taken.sigmas[round(pair[1] * pair[2])] / sent.sigmas[round(pair[0] * pair[2])]
    assert found == pytest.approx(ratio, abs=6e-4)


@pytest.mark.parametrize(("pair", "ratio"), [*zip(PAIRS, BY_INDEX, strict=False)])
def test_a_cut_by_index_meets_at_another_level_or_nowhere(pair: tuple[int, int, float], ratio: float) -> None:
    sent, taken = grids(*pair[:2])
    index = round(pair[0] * pair[2])
    assert taken.sigmas[index] / sent.sigmas[index] == pytest.approx(ratio, abs=6e-4)


def test_a_cut_by_index_may_lie_beyond_the_end_of_the_receiver() -> None:
    assert all(round(sender * done) >= receiver for sender, receiver, done in PAIRS[2:])


@pytest.mark.parametrize("kind", get_args(GridKind))
@pytest.mark.parametrize(("config", "solver"), SERVED)
def test_ours_meets_at_the_very_level(config: dict[str, object], solver: Solver, kind: GridKind) -> None:
    """Whatever the two step counts: to the last bit of what both sides compute with."""
    schedule = stock.schedule_of(config, 1024, 20)
    for sender, receiver, done in PAIRS:
        level = to_sigma(1 - done) if schedule.flow else grids(sender, receiver)[0].sigmas[round(sender * done)]
        arm = f"large:{round(sender * done)}@{level!r}+small:{receiver - round(receiver * done)}"
        configuration = configuration_of(arm, FAMILY, solver=solver, grid=kind)
        head = stage_grid(configuration, 0, config, schedule, None)
        tail = stage_grid(configuration, 1, config, schedule, head.end)
        assert tail.start / head.end == 1.0
        assert same_sigma(head.end, level)
        assert (head.steps, tail.steps) == tuple(stage.steps for stage in configuration.stages)


def test_ours_says_so_where_a_shared_grid_has_no_such_level() -> None:
    configuration = configuration_of("large:25@1.5+small:15", FAMILY, shared_grid=True)
    with pytest.raises(InvalidInput, match="where the shared grid has step 25"):
        stage_grid(configuration, 0, SDXL, stock.schedule_of(SDXL, 1024, 40), None)
