"""The baselines are what they say they are: held against the product's own, against each other, and against chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.scheduling import plain, synthetic
from benchmarks.scheduling.entrants import ABLATIONS, ENTRANTS, EVERYONE, STATIC, chosen
from benchmarks.scheduling.linear import DLinUcb, EpsilonGreedy, LinTS, LinUcb
from benchmarks.scheduling.product import PaperLinUcb, offline
from benchmarks.scheduling.replay import play
from benchmarks.scheduling.shifts import Options, Shifts
from benchmarks.scheduling.squarecb import SquareCb
from benchmarks.scheduling.world import utilities
from rise_scheduler.composed.evidence import Ridge
from rise_scheduler.composed.features import design_for
from rise_scheduler.policies import LinUcbPolicy
from tests.unit.benchmarks.scheduling.worlds import small

SETTINGS: dict[str, dict[str, Any]] = {
    name: next(entrant.choices()) for name, entrant in EVERYONE.items() if not entrant.settings_of
}


def test_linucb_with_free_features_is_the_product_s_where_it_has_the_paper_s() -> None:
    desk = small().desk
    ours = play(PaperLinUcb(desk, LinUcbPolicy(alpha=0.3, ridge=1.0)), small())
    theirs = play(LinUcb(desk, alpha=0.3, ridge=1.0, features="paper"), small())
    assert (ours.arm == theirs.arm).all()


def test_discounted_linucb_that_forgets_nothing_is_linucb() -> None:
    desk = small().desk
    one = play(DLinUcb(desk, alpha=0.2, gamma=1.0, ridge=0.5, features="rich"), small())
    # With ridge 1/2, width is sqrt(x V^-1 W V^-1 x) and W = V.
    two = play(LinUcb(desk, alpha=0.2, ridge=0.5, features="rich"), small())
    assert (one.arm == two.arm).all()


def test_discounted_linucb_fades_what_is_old_by_job() -> None:
    desk = small().desk
    one = DLinUcb(desk, alpha=0.0, gamma=0.9, features="paper")
    other = DLinUcb(desk, alpha=0.0, gamma=0.9, features="paper")
    log = play(one, small())
    play(other, small())
    assert (play(DLinUcb(desk, alpha=0.0, gamma=0.9, features="paper"), small()).arm == log.arm).all()
    assert (log.arm != play(DLinUcb(desk, alpha=0.0, gamma=1.0, features="paper"), small()).arm).any()


def test_thompson_sampling_without_spread_and_greed_without_chance_are_the_same() -> None:
    desk = small().desk
    one = play(LinTS(desk, 1, v=0.0, features="paper"), small())
    two = play(EpsilonGreedy(desk, 1, epsilon=0.0, features="paper"), small())
    assert (one.arm == two.arm).all()


def test_epsilon_is_the_share_that_is_drawn() -> None:
    played = play(EpsilonGreedy(small().desk, 1, epsilon=1.0, features="paper"), small())
    counts = np.bincount(played.arm, minlength=28)
    assert (counts > 0).all()
    assert counts.max() < 4 * counts.mean()


def test_squarecb_draws_with_the_propensities_that_it_states() -> None:
    played = play(SquareCb(small().desk, 1, gamma=10.0, rate=0.5, formula=True, waits=False), small())
    assert ((played.propensity > 0) & (played.propensity <= 1)).all()
    # Over draws, 1 / propensity is on average the number of arms: 28, fewer when some are away.
    assert 15 < np.mean(1.0 / played.propensity) < 45


def test_the_formula_takes_the_arm_of_the_highest_utility_by_table_and_forecast() -> None:
    asked, prior, reference = small().asked[3], small().prior, small().desk.reference_s
    player = plain.Analytic(prior, reference)
    means = prior.scores.mean(axis=0)[asked.arms]
    want = utilities(means, asked.latency, np.array([asked.question.preference]), reference)[0]
    assert player.choose(asked).place == want.argmax()
    assert player.values(asked) == pytest.approx(want)
    slower = plain.Analytic(prior, reference, end=0.1).values(asked)
    assert (slower <= want).all()
    assert (slower < want).any()


def test_the_shortest_is_the_shortest_forecast() -> None:
    asked = small().asked[8]
    assert asked.latency[plain.Shortest().choose(asked).place] == asked.latency.min()


def test_a_ranking_falls_back_to_what_can_run() -> None:
    arms = small().desk.arms
    order = plain.first_of(arms, ("device-only", "edge-only"))
    assert [arms[index].kind for index in order[:4]] == ["device-only"] * 4
    away = small().asked[round(2800 / 3200 * 320)]
    chosen_arm = arms[away.arms[plain.Ranked(order).choose(away).place]]
    assert chosen_arm.kind == "edge-only"


def test_the_best_in_hindsight_earns_most_of_all_fixed_arms() -> None:
    totals = [play(plain.Ranked([index, *range(28)]), small()).total for index in small().ranking]
    assert totals[0] == pytest.approx(min(totals), rel=0.05)  # where an arm is away, its stand-in counts too


def test_the_product_s_prior_holds_each_scored_picture_once() -> None:
    world, prior = small(), small().prior
    sums = offline(world.desk.family, world.desk, prior)
    design = design_for(world.desk.family)
    static, base = design.rows_of(list(world.desk.arms))
    slow = Ridge(design.names, np.zeros((len(design.names),) * 2), np.zeros(len(design.names)))
    for prompt, scores in zip(prior.prompts[:2], prior.scores[:2], strict=True):
        for x, score, expected in zip(design.matrix(static, prompt), scores, base, strict=True):
            slow = slow.plus(dict(zip(design.names, x, strict=True)), score - expected, 1.0)
    two = type(prior)(prior.prompts[:2], prior.scores[:2])
    fast = offline(world.desk.family, world.desk, two)
    assert fast.xtx == pytest.approx(slow.xtx)
    assert fast.rx == pytest.approx(slow.rx)
    assert (fast.n, sums.n) == (56, 28 * len(prior.prompts))


TUNED: dict[str, dict[str, Any]] = {
    **SETTINGS,
    "edge-fewer": {"place": 3},
    "d-linucb": {"alpha": 0.1, "gamma": 0.9998, "ridge": 0.1, "features": "paper"},
    "squarecb": {"gamma": 1000.0, "rate": 2.0, "formula": True, "waits": True},
}


@pytest.mark.parametrize("name", [name for name in ENTRANTS if name not in ("random", "edge-only", "device-only")])
def test_every_other_policy_is_better_than_chance(name: str) -> None:
    world, entrant = small(2, 480), ENTRANTS[name]
    regret = play(entrant.make(world, 1, chosen(entrant, TUNED)), world).total
    assert regret < 0.85 * play(plain.Random(1), world).total


def test_what_an_ablation_takes_away_changes_what_is_chosen() -> None:
    world = synthetic.make(2, Options(jobs=960, shifts=Shifts(drop=0.5)))  # so large a drop is an alarm for sure
    ours = ENTRANTS["composed"]
    whole = play(ours.make(world, 1, chosen(ours, SETTINGS)), world)
    for entrant in ABLATIONS.values():
        played = play(entrant.make(world, 1, chosen(entrant, SETTINGS)), world)
        assert (played.arm != whole.arm).any(), entrant.name


def test_a_fixed_arm_of_the_loop_is_one_of_all() -> None:
    world = small()
    names = {play(STATIC.make(world, 1, {"place": place}), world).arm[0] for place in range(28)}
    assert names == set(range(28))


def test_an_entrant_takes_its_own_settings_or_those_of_another() -> None:
    tuned = {"composed": {"alpha": 0.1, "weight": 200.0, "quality_memory": 1000.0}}
    assert chosen(ENTRANTS["composed-inverted"], tuned) == tuned["composed"]
    assert chosen(ABLATIONS["without-exploring"], tuned) == {**tuned["composed"], "alpha": 0.0}
    assert len(list(ENTRANTS["linucb"].choices())) == 12
