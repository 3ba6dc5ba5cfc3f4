"""Which grid a stage walks. Pure: a configuration, a member's noise schedule and the level that came in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rise_contracts.configuration import Configuration
from rise_contracts.errors import InvalidInput
from rise_contracts.model import Grid as GridKind
from rise_contracts.model import Solver
from rise_stage.engine import stock
from rise_stage.engine.schedules import Grid, Schedule, Spacing, build_grid, same_sigma


def stage_grid(
    configuration: Configuration,
    index: int,
    config: stock.SchedulerConfig,
    schedule: Schedule,
    sigma: float | None,
    tokens: int = 0,
) -> Grid:
    """The grid of stage `index` for a member with scheduler `config`; `sigma` is the level that came in, or None.

    `tokens` is how many the denoiser sees a latent as.
    """
    stock.check_solver(config, configuration.solver)
    stage = configuration.stages[index]
    kind, solver = configuration.grid, configuration.solver
    if configuration.shared_grid:
        return _slice(configuration, index, config, sigma, tokens)
    if sigma is None and stage.sigma_to == 0:
        return whole_grid(config, solver, kind, stage.steps, tokens)
    scale = stock.start_scale(config, solver, schedule.sigma_max)
    walked = stock.solver_schedule(schedule, solver)
    return build_grid(walked, spacing(config, kind, solver), stage.steps, sigma, stage.sigma_to, scale)


def whole_grid(config: stock.SchedulerConfig, solver: Solver, kind: GridKind, steps: int, tokens: int = 0) -> Grid:
    """The grid of a run that is not cut: the stock scheduler's, spaced as `kind` says."""
    if solver == "ddim" and kind in ("karras", "logsnr", "beta"):
        schedule = stock.noise_schedule(config)
        return build_grid(schedule, kind, steps, None, 0.0)
    return stock.whole_grid(_respaced(config, kind), solver, steps, tokens, respaced=kind != "family")


def spacing(config: stock.SchedulerConfig, kind: GridKind, solver: Solver) -> Spacing:
    """How parts of a run are spaced: `kind`, or for "family" as the stock scheduler for `solver` does."""
    if kind != "family":
        return kind
    if stock.is_flow(config) and solver in stock.SPACINGS:
        return stock.SPACINGS[solver]
    if config.get("use_karras_sigmas"):
        return "karras"
    if config.get("use_exponential_sigmas"):
        return "logsnr"
    if config.get("use_beta_sigmas"):
        return "beta"
    given = config.get("timestep_spacing", "linspace")
    return given if given in ("trailing", "linspace", "leading") else "trailing"


def _slice(
    configuration: Configuration, index: int, config: stock.SchedulerConfig, sigma: float | None, tokens: int
) -> Grid:
    """The stage's own steps of the grid that all stages share."""
    counts = [stage.steps for stage in configuration.stages]
    first = sum(counts[:index])
    whole = whole_grid(config, configuration.solver, configuration.grid, sum(counts), tokens)
    part = whole.part(first, first + counts[index])
    stage = configuration.stages[index]
    if sigma is not None and sigma != part.start:
        raise InvalidInput("sigma", f"{part.start!r}, where the shared grid has step {first}", sigma)
    if stage.sigma_to != 0 and not same_sigma(stage.sigma_to, part.end):
        raise InvalidInput(
            "sigmaTo", f"{part.end!r}, where the shared grid has step {part.steps + first}", stage.sigma_to
        )
    return part


def _respaced(config: stock.SchedulerConfig, kind: GridKind) -> Mapping[str, Any]:
    if kind == "family":
        return config
    plain = {**config, "use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
    if kind == "karras":
        return {**plain, "use_karras_sigmas": True}
    if kind == "logsnr":
        return {**plain, "use_exponential_sigmas": True}
    if kind == "beta":
        return {**plain, "use_beta_sigmas": True}
    return {**plain, "timestep_spacing": kind}
