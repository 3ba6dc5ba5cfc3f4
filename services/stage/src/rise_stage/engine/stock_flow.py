"""The stock grids of families that are trained on flow matching: the other half of `stock`.

Two kinds of stock scheduler walk a flow. Those made for flow matching space their levels as the configuration says.
DPM-Solver++ and UniPC have a spacing of their own; they divide by the share of the picture in a latent, so they
begin just below pure noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from rise_contracts.errors import InvalidInput
from rise_contracts.model import Solver
from rise_stage.engine.beta import beta_level
from rise_stage.engine.flow import FlowSchedule, to_sigma
from rise_stage.engine.schedules import Grid, Schedule, Spacing, as_float32

SchedulerConfig = Mapping[str, Any]

FLOW: Final = "FlowMatchEulerDiscreteScheduler"
MATCHING: Final = (FLOW, "FlowMatchHeunDiscreteScheduler")
SPACINGS: Final[Mapping[Solver, Spacing]] = {"dpmpp_2m": "trailing", "unipc": "leading"}
"""How the stock multistep schedulers space a flow, whatever else the configuration says."""
BELOW_NOISE: Final = 1 - 1e-6
"""Where stock UniPC begins: its logarithms want some picture in the latent."""
BY_STEPS: Final = "shift_by_steps"
"""Set by a family whose pipeline shifts by the number of steps, too: no stock scheduler knows it."""
MOST_TOKENS_BY_STEPS: Final = 4300
"""Above them FLUX.2 shifts alike whatever the number of steps."""
RESPACED: Final = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")


def is_flow(config: SchedulerConfig) -> bool:
    """Whether the family was trained on flow matching."""
    return config.get("_class_name") in MATCHING or bool(config.get("use_flow_sigmas"))


def flow_schedule(config: SchedulerConfig, tokens: int, steps: int) -> FlowSchedule:
    """A flow's levels, shifted as the stock scheduler would for latents of so many tokens, in runs of `steps`."""
    scheduler = _matching(config)
    return FlowSchedule(_shift(config, tokens, steps), float(scheduler.sigma_min), _timesteps(config))


def solver_schedule(schedule: Schedule, solver: Solver) -> Schedule:
    """The part of a schedule that the stock scheduler for `solver` walks."""
    if not isinstance(schedule, FlowSchedule) or solver not in SPACINGS:
        return schedule
    lowest = 1 / schedule.timesteps
    top = BELOW_NOISE if solver == "unipc" else schedule.shifted(1 - lowest)
    return replace(schedule, lowest=lowest, top=as_float32(top))


def flow_grid(config: SchedulerConfig, solver: Solver, steps: int, tokens: int) -> Grid:
    """The grid of a run that is not cut, as the stock scheduler for `solver` builds it from `config`."""
    return _STOCK[solver](config, steps, tokens)


def matched_grid(config: SchedulerConfig, solver: Solver, steps: int, tokens: int) -> Grid:
    """The grid of the stock flow-matching scheduler for any solver: the spacing is as `config` says.

    It is spaced by the scheduler itself ("linspace"), or evenly down to the clean end ("trailing") as FLUX is.
    """
    spacing = config.get("timestep_spacing", "linspace")
    if spacing not in ("linspace", "trailing"):
        raise InvalidInput("grid", "linspace or trailing, for a family trained on flow matching", spacing)
    scheduler = _matching(config)
    given: dict[str, Any] = {"sigmas": np.linspace(1.0, 1 / steps, steps)} if spacing == "trailing" else {}
    if scheduler.config["use_dynamic_shifting"]:
        given["mu"] = _mu(config, tokens, steps)
    scheduler.set_timesteps(steps, **given)
    levels, timesteps = floats(scheduler.sigmas), floats(scheduler.timesteps)
    if config.get("use_beta_sigmas"):
        levels = (*respread(levels[:-1]), 0.0)
        timesteps = floats(np.asarray(levels[:-1], dtype=np.float32) * np.float32(_timesteps(config)))
    if solver in SPACINGS:
        levels = (min(levels[0], as_float32(BELOW_NOISE)), *levels[1:])
    return _grid(levels, timesteps)


def respread(levels: tuple[float, ...]) -> tuple[float, ...]:
    """As many levels between the first and the last of `levels`, which fall, in the stock beta spacing."""
    high, low, last = levels[0], levels[-1], max(1, len(levels) - 1)
    inner = (as_float32(beta_level(low, high, 1 - index / last)) for index in range(1, len(levels) - 1))
    return (high, *inner, low) if len(levels) > 1 else levels


def floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _matched(config: SchedulerConfig, steps: int, tokens: int) -> Grid:
    return matched_grid(config, "euler", steps, tokens)


def _unipc(config: SchedulerConfig, steps: int, tokens: int) -> Grid:
    options = _multistep(config, tokens, steps, solver_type="bh2", predict_x0=True)
    scheduler = UniPCMultistepScheduler.from_config(options)
    scheduler.set_timesteps(steps)
    return _grid(floats(scheduler.sigmas), floats(scheduler.timesteps))


def _dpmpp_2m(config: SchedulerConfig, steps: int, tokens: int) -> Grid:
    options = _multistep(config, tokens, steps, solver_type="midpoint", algorithm_type="dpmsolver++")
    scheduler = DPMSolverMultistepScheduler.from_config(options)
    scheduler.set_timesteps(steps)
    return _grid(floats(scheduler.sigmas), floats(scheduler.timesteps))


def _multistep(config: SchedulerConfig, tokens: int, steps: int, **fixed: Any) -> dict[str, Any]:
    """The options of a stock multistep scheduler on a flow, shifted for so many tokens and steps.

    Its own Karras, exponential and beta spacings are those of another schedule, with levels that no flow has.
    """
    for option in RESPACED:
        if config.get(option):
            hint = "ask for that grid by its name instead"
            raise InvalidInput(f"scheduler {option}", "false for a multistep solver on a flow", config[option], hint)
    if config.get("final_sigmas_type", "zero") != "zero":
        got = config["final_sigmas_type"]
        raise InvalidInput("scheduler final_sigmas_type", "zero for a multistep solver on a flow", got)
    return {
        "num_train_timesteps": _timesteps(config),
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
        "flow_shift": _shift(config, tokens, steps),
        "solver_order": 2,
        **fixed,
    }


def _grid(levels: tuple[float, ...], timesteps: tuple[float, ...]) -> Grid:
    """The grid through levels of the flow itself."""
    sigmas = tuple(to_sigma(level) for level in levels)
    return Grid(sigmas, timesteps, sigmas[1:], flow=True)


def _shift(config: SchedulerConfig, tokens: int, steps: int) -> float:
    scheduler = _matching(config)
    if not scheduler.config["use_dynamic_shifting"]:
        return float(scheduler.shift)
    mu = _mu(config, tokens, steps)
    return math.exp(mu) if scheduler.config["time_shift_type"] == "exponential" else mu


def _mu(config: SchedulerConfig, tokens: int, steps: int) -> float:
    """How far to shift for latents of so many tokens: linear between the two sizes of training."""
    if config.get(BY_STEPS):
        return _mu_by_steps(tokens, steps)
    known = _matching(config).config
    low, high = known["base_image_seq_len"], known["max_image_seq_len"]
    base, most = known["base_shift"], known["max_shift"]
    slope = (most - base) / (high - low)
    return float(tokens * slope + (base - slope * low))


def _mu_by_steps(tokens: int, steps: int) -> float:
    """The same of FLUX.2, as its makers measured it: linear in tokens at 10 and at 200 steps, and between the two."""
    few, many = 8.73809524e-05 * tokens + 1.89833333, 0.00016927 * tokens + 0.45666666
    if tokens > MOST_TOKENS_BY_STEPS:
        return many
    slope = (many - few) / 190.0
    return slope * steps + (many - 200.0 * slope)


def _timesteps(config: SchedulerConfig) -> int:
    return int(config.get("num_train_timesteps", 1000))


def _matching(config: SchedulerConfig) -> Any:
    """The stock scheduler for flow matching. A beta spacing is left to us: stock needs scipy for it."""
    for option in ("shift_terminal", "invert_sigmas"):
        if config.get(option):
            raise InvalidInput(f"scheduler {option}", "none: it is not served", config[option])
    left_out = ("timestep_spacing", "use_beta_sigmas", "_class_name", BY_STEPS)
    known = {key: value for key, value in config.items() if key not in left_out}
    if config.get("use_flow_sigmas"):
        known["shift"] = config.get("flow_shift", 1.0)
    return FlowMatchEulerDiscreteScheduler.from_config(known)


_STOCK = {"euler": _matched, "heun": _matched, "dpmpp_2m": _dpmpp_2m, "unipc": _unipc}
