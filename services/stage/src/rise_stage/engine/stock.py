"""Whole runs walk the very grid that the stock scheduler of diffusers would: it is asked for it.

So every option of a family's ``scheduler_config.json`` (spacing, offsets, Karras, zero terminal SNR …) means here
what its users know. Each stock class spaces, rounds and starts in its own way; the differences end in `Grid`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from diffusers.schedulers.scheduling_heun_discrete import HeunDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from rise_contracts.errors import InvalidInput
from rise_contracts.model import Solver
from rise_stage.engine.flow import FlowSchedule, to_sigma
from rise_stage.engine.levels import FORMS
from rise_stage.engine.schedules import Grid, NoiseSchedule, Schedule, as_float32

SchedulerConfig = Mapping[str, Any]

FLOW = "FlowMatchEulerDiscreteScheduler"
MOST_TOKENS_BY_STEPS = 4300
"""Above them FLUX.2 shifts alike whatever the number of steps."""
PREDICTIONS = ("epsilon", "v_prediction", "sample")


def is_flow(config: SchedulerConfig) -> bool:
    """Whether the family was trained on flow matching."""
    return config.get("_class_name") == FLOW


def schedule_of(config: SchedulerConfig, tokens: int, steps: int) -> Schedule:
    """The noise levels of training, for latents that the denoiser sees as so many tokens, in runs of `steps`."""
    return flow_schedule(config, tokens, steps) if is_flow(config) else noise_schedule(config)


def noise_schedule(config: SchedulerConfig) -> NoiseSchedule:
    alphas = np.asarray(_scheduler(EulerDiscreteScheduler, config).alphas_cumprod)
    return NoiseSchedule(tuple(float(sigma) for sigma in ((1 - alphas) / alphas) ** 0.5))


def flow_schedule(config: SchedulerConfig, tokens: int, steps: int) -> FlowSchedule:
    """A flow's levels, shifted as the stock scheduler would for latents of so many tokens, in runs of `steps`."""
    scheduler = _flow_scheduler(config)
    shift = float(scheduler.shift)
    if scheduler.config["use_dynamic_shifting"]:
        mu = _mu(config, scheduler, tokens, steps)
        shift = math.exp(mu) if scheduler.config["time_shift_type"] == "exponential" else mu
    return FlowSchedule(shift, float(scheduler.sigma_min), int(scheduler.config["num_train_timesteps"]))


def check_solver(config: SchedulerConfig, solver: Solver) -> None:
    if is_flow(config) and solver != "euler":
        raise InvalidInput("solver", "euler, for a family trained on flow matching", solver)


def prediction_type(config: SchedulerConfig) -> str:
    """What the denoiser predicts: "flow_prediction", or one of PREDICTIONS."""
    if is_flow(config):
        return "flow_prediction"
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


def whole_grid(config: SchedulerConfig, solver: Solver, steps: int, tokens: int = 0) -> Grid:
    """The grid of a run that is not cut, as the stock scheduler for `solver` builds it from `config`.

    `tokens` is how many the denoiser sees a latent as; dynamic shifting goes by it.
    """
    check_solver(config, solver)
    most = int(config.get("num_train_timesteps", 1000))
    if not 1 <= steps <= most:
        raise InvalidInput("steps", f"1 to {most}", steps)
    return _flow_euler(config, steps, tokens) if is_flow(config) else _GRIDS[solver](config, steps)


def _flow_euler(config: SchedulerConfig, steps: int, tokens: int) -> Grid:
    """Spaced by the scheduler itself ("linspace"), or evenly down to the clean end ("trailing") as FLUX is."""
    spacing = config.get("timestep_spacing", "linspace")
    if spacing not in ("linspace", "trailing"):
        raise InvalidInput("grid", "linspace or trailing, for a family trained on flow matching", spacing)
    scheduler = _flow_scheduler(config)
    given: dict[str, Any] = {"sigmas": np.linspace(1.0, 1 / steps, steps)} if spacing == "trailing" else {}
    if scheduler.config["use_dynamic_shifting"]:
        given["mu"] = _mu(config, scheduler, tokens, steps)
    scheduler.set_timesteps(steps, **given)
    sigmas = tuple(to_sigma(s) for s in _floats(scheduler.sigmas))
    return Grid(sigmas, _floats(scheduler.timesteps), sigmas[1:], flow=True)


def _mu(config: SchedulerConfig, scheduler: Any, tokens: int, steps: int) -> float:
    """How far to shift for latents of so many tokens: linear between the two sizes of training."""
    if config.get("shift_by_steps"):
        return _mu_by_steps(tokens, steps)
    low, high = scheduler.config["base_image_seq_len"], scheduler.config["max_image_seq_len"]
    base, most = scheduler.config["base_shift"], scheduler.config["max_shift"]
    slope = (most - base) / (high - low)
    return float(tokens * slope + (base - slope * low))


def _mu_by_steps(tokens: int, steps: int) -> float:
    """The same of FLUX.2, as its makers measured it: linear in tokens at 10 and at 200 steps, and between the two."""
    few, many = 8.73809524e-05 * tokens + 1.89833333, 0.00016927 * tokens + 0.45666666
    if tokens > MOST_TOKENS_BY_STEPS:
        return many
    slope = (many - few) / 190.0
    return slope * steps + (many - 200.0 * slope)


def _flow_scheduler(config: SchedulerConfig) -> Any:
    for option in ("shift_terminal", "invert_sigmas", "stochastic_sampling", "use_beta_sigmas"):
        if config.get(option):
            raise InvalidInput(f"scheduler {option}", "none: it is not served", config[option])
    known = {key: value for key, value in config.items() if key not in ("timestep_spacing", "shift_by_steps")}
    return FlowMatchEulerDiscreteScheduler.from_config(known)


def _euler(config: SchedulerConfig, steps: int) -> Grid:
    scheduler = _scheduler(EulerDiscreteScheduler, config)
    scheduler.set_timesteps(steps)
    sigmas = _floats(scheduler.sigmas)
    scale = float(scheduler.init_noise_sigma)
    return Grid(sigmas, _floats(scheduler.timesteps), sigmas[1:], scale, first_order_end=False)


def _heun(config: SchedulerConfig, steps: int) -> Grid:
    """Stock Heun counts its two halves as steps: every level but the first and the last is listed twice."""
    scheduler = _scheduler(HeunDiscreteScheduler, config, clip_sample=False)
    scheduler.set_timesteps(steps)
    sigmas, timesteps = _floats(scheduler.sigmas), _floats(scheduler.timesteps)
    sigmas = (sigmas[0], *sigmas[1:-1:2], sigmas[-1])
    scale = float(scheduler.init_noise_sigma)
    return Grid(sigmas, (timesteps[0], *timesteps[1::2]), sigmas[1:], scale)


def _unipc(config: SchedulerConfig, steps: int) -> Grid:
    if config.get("disable_corrector"):
        raise InvalidInput("scheduler disable_corrector", "no steps: UniPC corrects all of them", "some")
    fixed: dict[str, Any] = {"solver_order": 2, "solver_type": "bh2", "predict_x0": True, "solver_p": None}
    scheduler = _scheduler(UniPCMultistepScheduler, config, **fixed)
    scheduler.set_timesteps(steps)
    sigmas = _floats(scheduler.sigmas)
    first_order_end = sigmas[-1] == 0 or bool(scheduler.config["lower_order_final"])
    return Grid(sigmas, _floats(scheduler.timesteps), sigmas[1:], first_order_end=first_order_end)


def _dpmpp_2m(config: SchedulerConfig, steps: int) -> Grid:
    scheduler = _scheduler(DPMSolverMultistepScheduler, config, algorithm_type="dpmsolver++", solver_order=2)
    scheduler.set_timesteps(steps)
    sigmas = _floats(scheduler.sigmas)
    few = bool(scheduler.config["lower_order_final"]) and steps < 15
    return Grid(
        sigmas=sigmas,
        timesteps=_floats(scheduler.timesteps),
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


def _floats(tensor: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in tensor)


_GRIDS = {"euler": _euler, "heun": _heun, "ddim": _ddim, "dpmpp_2m": _dpmpp_2m, "unipc": _unipc}
