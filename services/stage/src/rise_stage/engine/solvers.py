"""Solvers: pure steps over explicit noise levels, in the form and the order of operations of the stock schedulers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from rise_contracts.model import Solver
from rise_stage.engine.levels import Form, Level, level_at


class Prediction(NamedTuple):
    """What a denoiser makes of a latent: it is clean + noise at the latent's level. All (B, C, H, W).

    `slope` is how a latent in VE or flow form changes by `Level.time`.
    """

    clean: Tensor
    noise: Tensor
    slope: Tensor


class Past(NamedTuple):
    """What a multistep solver remembers of the steps before: all of its state.

    Attributes:
        clean, sigma: what was predicted one step ago, and at which level, as `Level.time` has it.
        x: the latent that it was predicted from, corrected, in the solver's form. UniPC only.
        older_clean, older_sigma: two steps ago, where the last step made use of that. UniPC only.
    """

    clean: Tensor
    sigma: Tensor
    x: Tensor | None = None
    older_clean: Tensor | None = None
    older_sigma: Tensor | None = None

    def changed(self, change: Callable[[Tensor], Tensor]) -> Past:
        """The same with `change` made to everything of a latent's shape."""
        latents = {name: value for name, value in self._asdict().items() if value is not None and value.ndim > 0}
        return self._replace(**{name: change(value) for name, value in latents.items()})


Earlier = tuple[Tensor, Level]
"""A clean latent that was predicted before, and the level it was predicted at."""


class Move(NamedTuple):
    """One step to make.

    Attributes:
        x: the latent, in `form`.
        predicted: what the denoiser makes of x.
        last: asks solvers of higher order for first order.
        landed: what the denoiser makes of where the same step without it ends; of solvers in ASKS_AGAIN only.
    """

    x: Tensor
    predicted: Prediction
    at: Level
    to: Level
    form: Form
    past: Past | None
    last: bool
    landed: Prediction | None = None


def step(solver: Solver, move: Move) -> tuple[Tensor, Past | None]:
    """Where one step of `solver` lands, and what the next one has to know."""
    return _STEPS[solver](move)


REMEMBERED: dict[Solver, tuple[tuple[str, ...], ...]] = {
    "dpmpp_2m": (("clean", "sigma"),),
    "unipc": (("clean", "sigma", "x"), ("clean", "sigma", "x", "older_clean", "older_sigma")),
}
"""The fields of a `Past` that a solver may have filled; solvers that are not named remember nothing."""


ASKS_AGAIN: frozenset[Solver] = frozenset({"heun"})
"""Solvers that ask the denoiser again where a step landed, but for the last one, and make it anew with that."""


def euler(x: Tensor, predicted: Prediction, at: Level, to: Level) -> Tensor:
    """Euler's method on the probability flow, VE or flow form (Karras et al. 2022, algorithm 1)."""
    return x + predicted.slope * (to.time - at.time)


def heun(x: Tensor, predicted: Prediction, landed: Prediction, at: Level, to: Level) -> Tensor:
    """Heun's method, VE or flow form: the mean of the slopes at both ends (the same algorithm, lines 7 and 8)."""
    return x + (predicted.slope + landed.slope) / 2 * (to.time - at.time)


def ddim(predicted: Prediction, to: Level) -> Tensor:
    """DDIM with eta 0, VP form (Song et al. 2021, equation 12)."""
    return to.alpha * predicted.clean + to.spread * predicted.noise


def dpmpp_2m(x: Tensor, clean: Tensor, at: Level, to: Level, older: Earlier | None) -> Tensor:
    """DPM-Solver++ 2M, midpoint, VP or flow form (Lu et al. 2022, algorithm 2); first order without `older`."""
    h = _lambda(to) - _lambda(at)
    kept = (to.spread / at.spread) * x
    gain = to.alpha * (torch.exp(-h) - 1.0)
    if older is None:
        return kept - gain * clean
    r0 = (_lambda(at) - _lambda(older[1])) / h
    slope = (1.0 / r0) * (clean - older[0])
    return kept - gain * clean - 0.5 * gain * slope


def unip(x: Tensor, clean: Tensor, at: Level, to: Level, older: Earlier | None) -> Tensor:
    """The predictor UniP with B2(h), VP or flow form (Zhao et al. 2023, equation 3).

    Order 2 with `older`, what was predicted a step before, else order 1.
    """
    h = _lambda(to) - _lambda(at)
    gain = to.alpha * torch.expm1(-h)
    landed = to.spread / at.spread * x - gain * clean
    if older is None:
        return landed
    _, slope = _slope(clean, at, h, older)
    return landed - gain * (0.5 * slope)


def unic(x: Tensor, clean: Tensor, at: Level, to: Level, older: Earlier | None, landed: Tensor) -> Tensor:
    """The corrector UniC with B2(h), VP or flow form (Zhao et al. 2023, equation 5): the step of `unip` anew.

    `landed` is the clean latent that was predicted from where the predictor had landed, at `to`.
    """
    h = _lambda(to) - _lambda(at)
    gain = to.alpha * torch.expm1(-h)
    first = to.spread / at.spread * x - gain * clean
    change = landed - clean
    if older is None:
        return first - gain * (0.5 * change)
    ratio, slope = _slope(clean, at, h, older)
    weight, weight_landed = _corrector_weights(h, ratio)
    return first - gain * (weight * slope + weight_landed * change)


def _corrector_weights(h: Tensor, ratio: Tensor) -> tuple[Tensor, Tensor]:
    """The solution of the order conditions: both weights sum to b1, and weighed with (ratio, 1) to b2.

    It is solved for and not written out, so that it is what the stock scheduler finds, to the last bit.
    """
    phi1 = torch.expm1(-h)
    phi2 = phi1 / -h - 1
    b1 = phi2 / phi1
    b2 = (phi2 / -h - 0.5) * 2 / phi1
    one = torch.ones_like(ratio)
    conditions = torch.stack([torch.stack([one, one], -1), torch.stack([ratio, one], -1)], -2)
    weight, weight_now = torch.linalg.solve(conditions, torch.stack([b1, b2], -1)).unbind(-1)
    return weight, weight_now


def _slope(clean: Tensor, at: Level, h: Tensor, older: Earlier) -> tuple[Tensor, Tensor]:
    """The step to `older` in steps of h, and how the clean latent changes per h."""
    ratio = (_lambda(older[1]) - _lambda(at)) / h
    return ratio, (older[0] - clean) / ratio


def _lambda(level: Level) -> Tensor:
    """Half the log signal-to-noise ratio."""
    return torch.log(level.alpha) - torch.log(level.spread)


def _step_euler(move: Move) -> tuple[Tensor, None]:
    return euler(move.x, move.predicted, move.at, move.to), None


def _step_heun(move: Move) -> tuple[Tensor, None]:
    if move.landed is None:
        return euler(move.x, move.predicted, move.at, move.to), None
    return heun(move.x, move.predicted, move.landed, move.at, move.to), None


def _step_ddim(move: Move) -> tuple[Tensor, None]:
    return ddim(move.predicted, move.to), None


def _step_dpmpp_2m(move: Move) -> tuple[Tensor, Past]:
    clean, past = move.predicted.clean, move.past
    older = None if past is None or move.last else (past.clean, level_at(past.sigma, move.form))
    return dpmpp_2m(move.x, clean, move.at, move.to, older), Past(clean, move.at.time)


def _step_unipc(move: Move) -> tuple[Tensor, Past]:
    """UniPC of order 2: correct where the last step landed, then predict the next (algorithms 5 and 6)."""
    clean, past = move.predicted.clean, move.past
    x = move.x if past is None else _corrected(past, move)
    if past is None or move.last:
        return unip(x, clean, move.at, move.to, None), Past(clean, move.at.time, x)
    landed = unip(x, clean, move.at, move.to, (past.clean, level_at(past.sigma, move.form)))
    return landed, Past(clean, move.at.time, x, past.clean, past.sigma)


def _corrected(past: Past, move: Move) -> Tensor:
    """The end of the step that `past` is of, with the order that it was made with."""
    assert past.x is not None
    before, older = level_at(past.sigma, move.form), None
    if past.older_clean is not None and past.older_sigma is not None:
        older = (past.older_clean, level_at(past.older_sigma, move.form))
    return unic(past.x, past.clean, before, move.at, older, move.predicted.clean)


_STEPS: dict[Solver, Callable[[Move], tuple[Tensor, Past | None]]] = {
    "euler": _step_euler,
    "heun": _step_heun,
    "ddim": _step_ddim,
    "dpmpp_2m": _step_dpmpp_2m,
    "unipc": _step_unipc,
}
