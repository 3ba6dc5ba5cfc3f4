"""Whole runs walk the very grid that the stock scheduler of diffusers would: it is asked for it.

So every option of a family's ``scheduler_config.json`` (spacing, offsets, Karras, zero terminal SNR …) means here
what its users know. Each stock class spaces, rounds and starts in its own way; the differences end in `Grid`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_heun_discrete import HeunDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from rise_contracts.errors import InvalidInput
from rise_contracts.model import Solver
from rise_stage.engine.levels import FORMS
from rise_stage.engine.schedules import Grid, NoiseSchedule, Schedule, as_float32
from rise_stage.engine.stock_flow import (
    FLOW,
    SPACINGS,
    SchedulerConfig,
    floats,
    flow_grid,
    flow_schedule,
    is_flow,
    matched_grid,
    respread,
    solver_schedule,
)

__all__ = [
    "FLOW",
    "SPACINGS",
    "SchedulerConfig",
    "check_solver",
    "flow_schedule",
    "is_flow",
    "noise_schedule",
    "prediction_type",
    "schedule_of",
    "solver_schedule",
    "start_scale",
    "whole_grid",
]

FLOW_PREDICTION = "flow_prediction"
PREDICTIONS = ("epsilon", "v_prediction", "sample")


def schedule_of(config: SchedulerConfig, tokens: int, steps: int) -> Schedule:
    """The noise levels of training, for latents that the denoiser sees as so many tokens, in runs of `steps`.

    Raises InvalidInput for a configuration that asks for noise while sampling: a run that is cut could not go on.
    """
    _check_no_noise(config)
    return flow_schedule(config, tokens, steps) if is_flow(config) else noise_schedule(config)


def noise_schedule(config: SchedulerConfig) -> NoiseSchedule:
    alphas = np.asarray(_scheduler(EulerDiscreteScheduler, config).alphas_cumprod)
    return NoiseSchedule(tuple(float(sigma) for sigma in ((1 - alphas) / alphas) ** 0.5))


def check_solver(config: SchedulerConfig, solver: Solver) -> None:
    if is_flow(config) and solver == "ddim":
        wanted = "euler, heun, dpmpp_2m or unipc, for a family trained on flow matching"
        raise InvalidInput("solver", wanted, solver, "on a flow DDIM is Euler's method: ask for euler")
    if solver == "unipc" and config.get("disable_corrector"):
        raise InvalidInput("scheduler disable_corrector", "no steps: UniPC corrects all of them", "some")


def prediction_type(config: SchedulerConfig) -> str:
    """What the denoiser predicts: "flow_prediction", or one of PREDICTIONS."""
    if is_flow(config):
        if config.get("use_flow_sigmas") and config.get("prediction_type") != FLOW_PREDICTION:
            wanted = f"{FLOW_PREDICTION}, with use_flow_sigmas"
            raise InvalidInput("scheduler prediction_type", wanted, config.get("prediction_type"))
        return FLOW_PREDICTION
    prediction = str(config.get("prediction_type", "epsilon"))
    if prediction not in PREDICTIONS:
        raise InvalidInput("scheduler prediction_type", f"one of {', '.join(PREDICTIONS)}", prediction)
    return prediction


def start_scale(config: SchedulerConfig, solver: Solver, sigma: float) -> float:
    """What unit noise is multiplied with to be the latent at the top level `sigma`, in the solver's own form."""
    if FORMS[solver] == "vp" or is_flow(config):
        return 1.0
    reaches_top = config.get("timestep_spacing", "linspace") in ("linspace", "trailing")
    return sigma if reaches_top else math.sqrt(1 + sigma * sigma)


def whole_grid(config: SchedulerConfig, solver: Solver, steps: int, tokens: int = 0, *, respaced: bool = False) -> Grid:
    """The grid of a run that is not cut, as the stock scheduler for `solver` builds it from `config`.

    `tokens` is how many the denoiser sees a latent as; dynamic shifting goes by it. `respaced` says that the spacing
    was asked for: then multistep solvers leave the one that they have on a flow, and walk that of the others.
    """
    check_solver(config, solver)
    most = int(config.get("num_train_timesteps", 1000))
    if not 1 <= steps <= most:
        raise InvalidInput("steps", f"1 to {most}", steps)
    if is_flow(config):
        return (matched_grid if respaced else flow_grid)(config, solver, steps, tokens)
    if config.get("use_beta_sigmas") and solver != "ddim":
        return _beta(config, solver, steps)
    return _GRIDS[solver](config, steps)


def _beta(config: SchedulerConfig, solver: Solver, steps: int) -> Grid:
    """The stock beta grid, which needs scipy there: it lies between the ends of the exponential one."""
    ends = _GRIDS[solver]({**config, "use_beta_sigmas": False, "use_exponential_sigmas": True}, steps)
    sigmas = respread(ends.sigmas[:-1])
    schedule = noise_schedule(config)
    whole = FORMS[solver] == "vp"  # These schedulers cut timesteps to whole ones.
    told = (schedule.timestep(sigma) for sigma in sigmas[1:-1])
    inner = (float(math.floor(timestep)) if whole else as_float32(timestep) for timestep in told)
    timesteps = (ends.timesteps[0], *inner, ends.timesteps[-1])[:steps]
    return replace(ends, sigmas=(*sigmas, ends.end), timesteps=timesteps, targets=(*sigmas[1:], ends.end))


def _euler(config: SchedulerConfig, steps: int) -> Grid:
    scheduler = _scheduler(EulerDiscreteScheduler, config)
    scheduler.set_timesteps(steps)
    sigmas = floats(scheduler.sigmas)
    scale = float(scheduler.init_noise_sigma)
    return Grid(sigmas, floats(scheduler.timesteps), sigmas[1:], scale, first_order_end=False)


def _heun(config: SchedulerConfig, steps: int) -> Grid:
    """Stock Heun counts its two halves as steps: every level but the first and the last is listed twice."""
    scheduler = _scheduler(HeunDiscreteScheduler, config, clip_sample=False)
    scheduler.set_timesteps(steps)
    sigmas, timesteps = floats(scheduler.sigmas), floats(scheduler.timesteps)
    sigmas = (sigmas[0], *sigmas[1:-1:2], sigmas[-1])
    scale = float(scheduler.init_noise_sigma)
    return Grid(sigmas, (timesteps[0], *timesteps[1::2]), sigmas[1:], scale)


def _unipc(config: SchedulerConfig, steps: int) -> Grid:
    fixed: dict[str, Any] = {"solver_order": 2, "solver_type": "bh2", "predict_x0": True, "solver_p": None}
    scheduler = _scheduler(UniPCMultistepScheduler, config, **fixed)
    scheduler.set_timesteps(steps)
    sigmas = floats(scheduler.sigmas)
    first_order_end = sigmas[-1] == 0 or bool(scheduler.config["lower_order_final"])
    return Grid(sigmas, floats(scheduler.timesteps), sigmas[1:], first_order_end=first_order_end)


def _dpmpp_2m(config: SchedulerConfig, steps: int) -> Grid:
    scheduler = _scheduler(DPMSolverMultistepScheduler, config, algorithm_type="dpmsolver++", solver_order=2)
    scheduler.set_timesteps(steps)
    sigmas = floats(scheduler.sigmas)
    few = bool(scheduler.config["lower_order_final"]) and steps < 15
    return Grid(
        sigmas=sigmas,
        timesteps=floats(scheduler.timesteps),
        targets=sigmas[1:],
        first_order_end=sigmas[-1] == 0 or few or bool(scheduler.config["euler_at_final"]),
    )


def _ddim(config: SchedulerConfig, steps: int) -> Grid:
    """Stock DDIM lands at ``t - T // steps``, which is not always the timestep that it goes on from."""
    scheduler = _scheduler(DDIMScheduler, config, clip_sample=False)
    scheduler.set_timesteps(steps)
    timesteps = [int(t) for t in scheduler.timesteps]
    stride = int(scheduler.config["num_train_timesteps"]) // steps
    bars = scheduler.alphas_cumprod
    if float(bars[-1]) <= 0:
        raise InvalidInput(
            "scheduler rescale_betas_zero_snr", "false for solver ddim: its sigma would be infinite", True
        )
    end = float(scheduler.final_alpha_cumprod)
    landings = tuple(float(bars[t - stride]) if t >= stride else end for t in timesteps)
    starts = (*(float(bars[t]) for t in timesteps), landings[-1])
    return Grid(
        sigmas=tuple(_sigma(bar) for bar in starts),
        timesteps=tuple(float(t) for t in timesteps),
        targets=tuple(_sigma(bar) for bar in landings),
        alpha_bars=starts,
        target_alpha_bars=landings,
    )


def _scheduler(kind: Any, config: SchedulerConfig, **forced: Any) -> Any:
    """A stock scheduler of `kind` with the family's options; `forced` are those that the solver's name fixes."""
    if config.get("thresholding"):
        raise InvalidInput("scheduler thresholding", "false: latents are not thresholded", True)
    return kind.from_config({k: v for k, v in config.items() if k not in forced}, **forced)


def _sigma(alpha_bar: float) -> float:
    return as_float32(math.sqrt((1 - alpha_bar) / alpha_bar))


def _check_no_noise(config: SchedulerConfig) -> None:
    """Ancestral and stochastic samplers draw noise at every step, which no solver here does."""
    name, algorithm = str(config.get("_class_name", "")), str(config.get("algorithm_type", ""))
    wanted, hint = "a sampler that draws no noise", "choose a deterministic one in scheduler_config.json"
    if "Ancestral" in name or "SDE" in name:
        raise InvalidInput("scheduler", wanted, name, hint)
    if algorithm.startswith("sde"):
        raise InvalidInput("scheduler algorithm_type", wanted, algorithm, hint)
    for option in ("stochastic_sampling", "eta"):
        if config.get(option):
            raise InvalidInput(f"scheduler {option}", wanted, config[option], hint)


_GRIDS = {"euler": _euler, "heun": _heun, "ddim": _ddim, "dpmpp_2m": _dpmpp_2m, "unipc": _unipc}
