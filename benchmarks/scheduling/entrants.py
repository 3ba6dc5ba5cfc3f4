"""Every policy of the contest: how its player is made, and the settings that tuning may choose from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product as every
from typing import Any

from benchmarks.scheduling import linear, plain, product
from benchmarks.scheduling.seam import Player
from benchmarks.scheduling.squarecb import SquareCb
from benchmarks.scheduling.world import Prior, Venue, World
from rise_scheduler.composed.policy import ComposedPolicy
from rise_scheduler.policies import LinUcbPolicy

Settings = Mapping[str, Any]
Make = Callable[[Venue, int, Settings], Player]

OURS, PRICED, PAPER, FORMULA = "composed", "composed-priced", "linucb", "analytic"
NO_PRIOR, INVERTED = "composed-no-prior", "composed-inverted"
NEVER = 1e9
"""A memory, in outcomes, that forgets nothing, and a CUSUM limit that is never reached."""


@dataclass(frozen=True)
class Entrant:
    """A policy. ``grid`` holds the values of each setting; with none there is nothing to tune. ``settings_of`` names
    the entrant whose tuned settings it takes instead of its own."""

    name: str
    make: Make
    grid: Mapping[str, tuple[Any, ...]] | None = None
    settings_of: str = ""

    def choices(self) -> Iterator[dict[str, Any]]:
        """All combinations of the grid."""
        grid = self.grid or {}
        for values in every(*grid.values()):
            yield dict(zip(grid, values, strict=True))


def _ranked(*kinds: str) -> Make:
    def make(venue: Venue, seed: int, settings: Settings) -> Player:
        arms = venue.desk.arms
        of_kind = [arm.name for arm in arms if arm.kind == kinds[0]]
        named = [of_kind[settings["place"] % len(of_kind)]]
        return plain.Ranked(plain.first_of(arms, kinds, named))

    return make


def _edge_fewer(venue: Venue, seed: int, settings: Settings) -> Player:
    """The base member with fewer steps than usual, or a smaller member of the edge."""
    arms = venue.desk.arms
    names = [arm.name for arm in arms if arm.kind == "edge-only"][1:]
    return plain.Ranked(plain.first_of(arms, ("edge-only",), [names[settings["place"] % len(names)]]))


def _edge_only(venue: Venue, seed: int, settings: Settings) -> Player:
    return plain.Ranked(plain.first_of(venue.desk.arms, ("edge-only", "device-only")))


def _best_in_hindsight(venue: Venue, seed: int, settings: Settings) -> Player:
    """Only where all that would have been is known. Raises TypeError elsewhere."""
    if not isinstance(venue, World):
        raise TypeError("wanted a world in which the best arm can be looked up, got the closed loop; tune one there")
    return plain.Ranked(venue.ranking)


def _static(venue: Venue, seed: int, settings: Settings) -> Player:
    """One arm for every job that can have it."""
    arms = venue.desk.arms
    return plain.Ranked(plain.first_of(arms, ("relay", "edge-only"), [arms[settings["place"] % len(arms)].name]))


def _linucb(venue: Venue, seed: int, settings: Settings) -> Player:
    return product.PaperLinUcb(venue.desk, LinUcbPolicy(**settings))


def composed_policy(settings: Settings, **learning: float) -> tuple[ComposedPolicy, float]:
    """The policy with tuned settings, and what its prior weighs; ``learning`` overrides fields of how it learns."""
    own = dict(settings)
    weight, alpha, base = own.pop("weight"), own.pop("alpha"), ComposedPolicy()
    return replace(base, alpha=alpha, learning=replace(base.learning, **{**own, **learning})), weight


def _composed(
    prior: Callable[[Prior], Prior | None] = lambda prior: prior, *, priced: bool = False, **learning: float
) -> Make:
    """``priced`` charges for the edge's time."""

    def make(venue: Venue, seed: int, settings: Settings) -> Player:
        policy, weight = composed_policy(settings, **learning)
        return product.composed(venue.desk, prior(venue.prior), policy, weight=weight, priced=priced)

    return make


_FEATURES = ("paper", "rich")
_OURS_GRID = {"alpha": (0.05, 0.2, 1.0), "weight": (100.0, 500.0, 2000.0), "quality_memory": (500.0, 2000.0)}

ENTRANTS: dict[str, Entrant] = {
    item.name: item
    for item in (
        Entrant("device-only", _ranked("device-only", "edge-only"), {"place": (0, 1, 2, 3)}),
        Entrant("edge-only", _edge_only),
        Entrant("edge-fewer", _edge_fewer, {"place": (0, 1, 2, 3, 4)}),
        Entrant("random", lambda venue, seed, settings: plain.Random(seed)),
        Entrant("static-best", _best_in_hindsight),
        Entrant("shortest", lambda venue, seed, settings: plain.Shortest()),
        Entrant(
            "epsilon-greedy",
            lambda venue, seed, settings: linear.EpsilonGreedy(venue.desk, seed, **settings),
            {"epsilon": (0.01, 0.03, 0.1), "ridge": (0.1, 1.0), "features": _FEATURES},
        ),
        Entrant(
            "lints",
            lambda venue, seed, settings: linear.LinTS(venue.desk, seed, **settings),
            {"v": (0.01, 0.03, 0.1), "ridge": (0.1, 1.0), "features": _FEATURES},
        ),
        Entrant(PAPER, _linucb, {"alpha": (0.02, 0.1, 0.3, 0.6), "ridge": (0.03, 0.1, 1.0)}),
        Entrant(
            "linucb-rich",
            lambda venue, seed, settings: linear.LinUcb(venue.desk, features="rich", **settings),
            {"alpha": (0.02, 0.1, 0.3, 0.6), "ridge": (0.03, 0.1, 1.0)},
        ),
        Entrant(
            "d-linucb",
            lambda venue, seed, settings: linear.DLinUcb(venue.desk, **settings),
            {"alpha": (0.02, 0.1, 0.3), "gamma": (0.998, 0.9998), "ridge": (0.1,), "features": _FEATURES},
        ),
        Entrant(
            "squarecb",
            lambda venue, seed, settings: SquareCb(venue.desk, seed, **settings),
            {
                "gamma": (300.0, 1000.0, 3000.0),
                "rate": (0.5, 2.0, 5.0),
                "formula": (True,),
                "waits": (False, True),
            },
        ),
        Entrant(
            FORMULA,
            lambda venue, seed, settings: plain.Analytic(venue.prior, venue.desk.reference_s, **settings),
            {"end": (0.0, 0.05, 0.1), "shrink": (0.0, 0.25, 0.5, 0.75)},
        ),
        Entrant(OURS, _composed(), _OURS_GRID),
        Entrant(NO_PRIOR, _composed(lambda prior: None), {**_OURS_GRID, "weight": (50.0,)}),
        Entrant(INVERTED, _composed(lambda prior: prior.inverted()), settings_of=OURS),
        Entrant(PRICED, _composed(priced=True), settings_of=OURS),
    )
}

STATIC = Entrant("static-tuned", _static, {"place": tuple(range(28))})
"""In the loop the best fixed arm is not known in hindsight: it is chosen as all settings are."""

ABLATIONS: dict[str, Entrant] = {
    item.name: item
    for item in (
        Entrant("without-forgetting", _composed(quality_memory=NEVER, latency_memory=NEVER), settings_of=OURS),
        Entrant("without-cusum", _composed(drift_alarm=NEVER), settings_of=OURS),
        Entrant("without-exploring", _composed(), {"alpha": (0.0,)}, settings_of=OURS),
    )
}


EVERYONE: dict[str, Entrant] = {**ENTRANTS, **ABLATIONS, STATIC.name: STATIC}

IN_THE_LOOP = ("edge-fewer", STATIC.name, "shortest", PAPER, "linucb-rich", "squarecb", FORMULA, OURS, PRICED)


def chosen(entrant: Entrant, tuned: Mapping[str, Settings]) -> dict[str, Any]:
    """The settings of an entrant: those tuned, its own where its grid has one value."""
    settings = dict(tuned.get(entrant.settings_of or entrant.name, {}))
    fixed = {name: values[0] for name, values in (entrant.grid or {}).items() if len(values) == 1}
    return {**settings, **fixed} if entrant.settings_of else {**fixed, **settings}
