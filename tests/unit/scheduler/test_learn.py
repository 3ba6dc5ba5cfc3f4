from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from rise_contracts.decisions import DecisionRecord, Settlement
from rise_contracts.errors import Busy, InvalidInput
from rise_contracts.messages import Act, Outcome, UserAct
from rise_scheduler.context import FEATURES, vector
from rise_scheduler.learn import Verdict, outcome_of_act, own_latency, settle, settlement_of
from rise_scheduler.posterior import Posterior
from rise_scheduler.reward import failed_reward, reward
from tests.unit.scheduler.builders import decided, fixed, fleet, nothing_learned, outcome_of, question, worker

DEFAULT = 5.0


def learn(posterior: Posterior, record: DecisionRecord, outcome: Outcome) -> tuple[Posterior, Verdict]:
    return settle(posterior, record, outcome, default_reference_s=DEFAULT)


def settled(record: DecisionRecord, *outcomes: Outcome) -> Posterior:
    posterior = nothing_learned()
    for outcome in outcomes:
        posterior, _ = learn(posterior, record, outcome)
    return posterior


def same(a: Posterior, b: Posterior) -> None:
    assert set(a.arms) == set(b.arms)
    for name in a.arms:
        np.testing.assert_allclose(a.arm(name).xtx, b.arm(name).xtx, rtol=0, atol=1e-12)
        np.testing.assert_allclose(a.arm(name).rx, b.arm(name).rx, rtol=0, atol=1e-12)
        assert (a.arm(name).n, a.arm(name).quality_n) == (b.arm(name).n, b.arm(name).quality_n)
        assert a.arm(name).quality_sum == pytest.approx(b.arm(name).quality_sum, abs=1e-12)


def test_a_judged_outcome_adds_its_reward() -> None:
    record = decided(question(preference=0.7))
    posterior, verdict = learn(nothing_learned(), record, outcome_of(record, 1.5, quality=0.9))
    x = vector(record.decision.context)
    sums = posterior.arm(record.decision.arm)
    assert verdict is Verdict.LEARNED
    assert sums.xtx == pytest.approx(np.outer(x, x))
    assert sums.rx == pytest.approx(reward(0.9, 1.5, preference=0.7, reference_s=2.0) * x)
    assert posterior.mean_quality(record.decision.arm) == 0.9
    assert settlement_of(posterior, "d1") == Settlement(quality=0.9, final=True)


def test_an_unjudged_outcome_is_learned_from_with_the_expected_quality() -> None:
    record = decided()
    posterior, verdict = learn(nothing_learned(), record, outcome_of(record, 1.5))
    x = vector(record.decision.context)
    expected = reward(record.expected_quality, 1.5, preference=0.5, reference_s=2.0)
    assert verdict is Verdict.LEARNED
    assert posterior.arm(record.decision.arm).rx == pytest.approx(expected * x)
    assert posterior.mean_quality(record.decision.arm) is None
    assert settlement_of(posterior, "d1") == Settlement(quality=record.expected_quality, final=False)


def test_a_quality_that_comes_late_gives_what_it_would_have_given_at_once() -> None:
    record = decided()
    bare, judged = outcome_of(record, 1.5), outcome_of(record, 1.5, quality=0.2)
    late = settled(record, bare, judged)
    same(late, settled(record, judged))
    assert learn(settled(record, bare), record, judged)[1] is Verdict.CORRECTED


@pytest.mark.parametrize(("act", "quality"), [("keep", 1.0), ("regenerate", 0.0)])
def test_what_a_user_does_with_a_picture_is_its_quality(act: Act, quality: float) -> None:
    record = decided()
    bare = outcome_of(record, 1.5)
    said = UserAct(decision_id="d1", act=act)
    told = outcome_of_act(record.model_copy(update={"outcome": bare}), said, 77.0)
    assert (told.quality, told.judged_by, told.at) == (quality, "user", 77.0)
    same(settled(record, bare, told), settled(record, outcome_of(record, 1.5, quality=quality)))


def test_a_judge_s_word_stays_whatever_a_user_does() -> None:
    record = decided()
    judged = outcome_of(record, 1.5, quality=0.2)
    told = outcome_of_act(record.model_copy(update={"outcome": judged}), UserAct(decision_id="d1", act="keep"), 77.0)
    assert learn(settled(record, judged), record, told)[1] is Verdict.REPLAYED


def test_an_act_waits_for_the_outcome_and_needs_a_picture() -> None:
    record, said = decided(), UserAct(decision_id="d1", act="keep")
    with pytest.raises(Busy, match="d1 is not known yet; say it again"):
        outcome_of_act(record, said, 77.0)
    failed = outcome_of(record, 1.5, failed=True)
    with pytest.raises(InvalidInput, match="ended with a picture"):
        outcome_of_act(record.model_copy(update={"outcome": failed}), said, 77.0)


def test_any_order_and_any_number_of_repeats_give_the_same() -> None:
    record = decided()
    bare, judged = outcome_of(record, 1.5), outcome_of(record, 1.5, quality=0.2)
    wanted = settled(record, judged)
    for order in itertools.permutations([bare, bare, judged, judged]):
        same(settled(record, *order), wanted)


def test_the_order_of_jobs_does_not_matter() -> None:
    records = [decided(question(preference=i / 5), decision_id=f"d{i}") for i in range(6)]
    pairs = [(record, outcome_of(record, 1.0 + i, quality=i / 6)) for i, record in enumerate(records)]
    results = []
    for order in (pairs, list(reversed(pairs)), pairs[3:] + pairs[:3]):
        posterior = nothing_learned().with_reference(2.0)
        for record, outcome in order:
            posterior, _ = learn(posterior, record, outcome)
        results.append(posterior)
    for other in results[1:]:
        same(results[0], other)


def test_a_repeat_returns_the_very_same_posterior() -> None:
    record = decided()
    outcome = outcome_of(record, 1.5, quality=0.4)
    once, _ = learn(nothing_learned(), record, outcome)
    again, verdict = learn(once, record, outcome)
    assert again is once
    assert verdict is Verdict.REPLAYED


def test_the_decision_log_remembers_what_the_posterior_has_forgotten() -> None:
    record = decided()
    marked = record.model_copy(update={"settlement": Settlement(quality=0.4, final=True)})
    posterior, verdict = learn(nothing_learned(), marked, outcome_of(record, 1.5, quality=0.4))
    assert (posterior.outcomes, verdict) == (0, Verdict.REPLAYED)
    estimated = record.model_copy(update={"settlement": Settlement(quality=0.6, final=False)})
    corrected, verdict = learn(nothing_learned(), estimated, outcome_of(record, 1.5, quality=0.4))
    assert verdict is Verdict.CORRECTED
    x = vector(record.decision.context)
    assert corrected.arm(record.decision.arm).rx == pytest.approx(0.5 * (0.4 - 0.6) * x)


def test_a_failure_is_the_worst_reward_and_the_last_word() -> None:
    record = decided(question(preference=0.3))
    posterior, verdict = learn(nothing_learned(), record, outcome_of(record, 0.1, failed=True))
    x = vector(record.decision.context)
    assert verdict is Verdict.LEARNED
    assert posterior.arm(record.decision.arm).rx == pytest.approx(failed_reward(preference=0.3) * x)
    assert posterior.mean_quality(record.decision.arm) is None
    assert learn(posterior, record, outcome_of(record, 0.1, quality=0.9))[1] is Verdict.REPLAYED


@pytest.mark.parametrize(
    "changes",
    [
        {"quality": math.nan},
        {"quality": 1.5},
        {"quality": -0.1},
        {"stage_seconds": (math.inf,)},
        {"arm": "small:10"},
        {"job_id": "another"},
        {"decision_id": "another"},
    ],
)
def test_an_outcome_that_does_not_fit_leaves_the_posterior_alone(changes: dict[str, Any]) -> None:
    record = decided()
    posterior, verdict = learn(nothing_learned(), record, outcome_of(record, 1.0).model_copy(update=changes))
    assert verdict is Verdict.REFUSED
    assert posterior.outcomes == 0


def test_the_context_is_the_logged_one_whatever_the_outcome_says() -> None:
    record = decided()
    lying = outcome_of(record, 1.5, quality=0.4, context=dict.fromkeys(FEATURES, 9.0), preference=0.0)
    same(settled(record, lying), settled(record, outcome_of(record, 1.5, quality=0.4)))


def test_a_configuration_that_is_no_arm_teaches_nothing() -> None:
    record = decided(question(relay=fixed({"member": "large", "steps": 7})))
    posterior, verdict = learn(nothing_learned(), record, outcome_of(record, 1.0, quality=0.5))
    assert verdict is Verdict.NOT_AN_ARM
    assert posterior.outcomes == 0


def test_the_reference_is_the_first_decision_s_and_scales_with_images() -> None:
    record = decided(question(images=3))
    posterior, _ = learn(nothing_learned(), record, outcome_of(record, 6.0, quality=1.0))
    assert posterior.reference_s == pytest.approx(2.0)
    bias = posterior.arm(record.decision.arm).rx[0]
    assert bias == pytest.approx(reward(1.0, 6.0, preference=0.5, reference_s=6.0))


def test_the_default_reference_serves_while_the_base_member_is_not_measured() -> None:
    record = decided(among=fleet(worker("d0", "device")))
    posterior, _ = learn(nothing_learned(), record, outcome_of(record, 1.0, quality=1.0))
    assert posterior.reference_s == DEFAULT


def test_a_decision_answers_for_its_own_time_only() -> None:
    record = decided(at=1030.0)
    assert own_latency(record, outcome_of(record, 31.5)) == pytest.approx(1.5)
    # The driver's clock is behind the scheduler's: what the stages took is the least there was.
    assert own_latency(record, outcome_of(record, 10.0, stage_seconds=(0.6, 0.2))) == pytest.approx(0.8)
