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
from diffusers.schedulers.scheduling_heun_discrete import HeunDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from rise_contracts.errors import InvalidInput
from rise_contracts.model import Solver
from rise_stage.engine.levels import FORMS
from rise_stage.engine.schedules import Grid, NoiseSchedule, as_float32

SchedulerConfig = Mapping[str, Any]

PREDICTIONS = ("epsilon", "v_prediction", "sample")


def noise_schedule(config: SchedulerConfig) -> NoiseSchedule:
    alphas = np.asarray(_scheduler(EulerDiscreteScheduler, config).alphas_cumprod)
    return NoiseSchedule(tuple(float(sigma) for sigma in ((1 - alphas) / alphas) ** 0.5))


def prediction_type(config: SchedulerConfig) -> str:
    """What the denoiser predicts: one of PREDICTIONS."""
    prediction = str(config.get("prediction_type", "epsilon"))
    if prediction not in PREDICTIONS:
        raise InvalidInput("scheduler prediction_type", f"one of {', '.join(PREDICTIONS)}", prediction)
    return prediction


def start_scale(config: SchedulerConfig, solver: Solver, sigma: float) -> float:
    """What unit noise is multiplied with to be the latent at the top level `sigma`, in the solver's own form."""
    if FORMS[solver] == "vp":
        return 1.0
    reaches_top = config.get("timestep_spacing", "linspace") in ("linspace", "trailing")
    return sigma if reaches_top else math.sqrt(1 + sigma * sigma)


def whole_grid(config: SchedulerConfig, solver: Solver, steps: int) -> Grid:
    """The grid of a run that is not cut, as the stock scheduler for `solver` builds it from `config`."""
    most = int(config.get("num_train_timesteps", 1000))
    if not 1 <= steps <= most:
        raise InvalidInput("steps", f"1 to {most}", steps)
    return _GRIDS[solver](config, steps)


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
