from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_scheduler.arms import canonical_arms
from rise_scheduler.composed.knowledge import Knowledge
from rise_scheduler.composed.observe import basis_of
from rise_scheduler.composed.policy import ComposedPolicy, Scores
from rise_scheduler.learned import Learned
from rise_scheduler.placing import place_arms
from rise_scheduler.policies import Question
from rise_scheduler.prompt import prompt_features
from tests.unit.scheduler.builders import asking, decided, family, fleet, nothing_learned, question, worker
from tests.unit.scheduler.composed.seen import after, seen

FAMILY = family()
GREEDY = ComposedPolicy(alpha=0.0)


def asked(known: Knowledge | None = None, queue: int = 0, **changes: Any) -> Question:
    among = fleet(worker(queue_depth=queue), worker("device-0", "device"))
    candidates, _ = place_arms(canonical_arms(FAMILY), question(), FAMILY, among, nothing_learned())
    return asking(candidates, FAMILY, learned=Learned(composed=known or Knowledge()), **changes)


def chosen(policy: ComposedPolicy, question: Question) -> str:
    return question.candidates[policy.choose(question).index].arm.name


def taught(arm: str, quality: float, times: int = 80) -> Knowledge:
    """After so many pictures of ``arm`` that were each worth ``quality``."""
    question = asked()
    candidate = next(item for item in question.candidates if item.arm.name == arm)
    basis = basis_of(candidate, FAMILY, question.prompt, Knowledge(), 2.0)
    parts = candidate.arm.parts
    return after(
        seen(
            f"{arm}-{index}",
            clock=index,
            arm=arm,
            members=tuple(part.member for part in parts),
            features=basis.features,
            base_quality=basis.quality,
            keys=candidate.keys,
            predicted=basis.stage_seconds,
            waits=basis.waits,
            moves=basis.moves,
            latency_s=candidate.forecast.latency_s,
            seconds=basis.stage_seconds,
            quality=quality,
        )
        for index in range(times)
    )


def test_who_wants_quality_gets_more_steps_of_the_large_member_than_who_wants_speed() -> None:
    def edge_seconds(preference: float) -> float:
        question = asked(preference=preference)
        return question.candidates[GREEDY.choose(question).index].forecast.edge_s or 0.0

    assert edge_seconds(1.0) > edge_seconds(0.0)


def test_the_utility_is_composed_with_the_preference_of_this_job() -> None:
    scores, _ = GREEDY.scored(asked(preference=0.25))
    expected = 0.25 * scores.quality - 0.75 * 0.5 * np.minimum(scores.latency_s / 2.0, 2.0)
    np.testing.assert_allclose(scores.mean, expected)


def test_an_arm_that_disappointed_is_left_for_one_that_is_as_good_as_expected() -> None:
    first = chosen(GREEDY, asked(preference=0.9))
    assert chosen(GREEDY, asked(taught(first, 0.1), preference=0.9)) != first


def test_what_is_not_known_is_explored_the_more_the_larger_alpha() -> None:
    known = taught("large:20", 0.85)
    scores, _ = ComposedPolicy(alpha=2.0).scored(asked(known, preference=0.9))
    view = {score.arm: score for score in scores}
    assert view["large:20"].width < view["small:20"].width
    assert view["small:20"].score == pytest.approx(view["small:20"].mean + 2.0 * view["small:20"].width)


def test_exploring_never_risks_more_than_the_margin_and_nothing_while_the_edge_is_busy() -> None:
    known = taught("large:20", 0.85)
    wild = ComposedPolicy(alpha=50.0, margin=0.05)
    question = asked(known, preference=0.9)
    scores, allowed = wild.scored(question)
    assert scores.mean[allowed].min() >= scores.mean.max() - 0.05
    assert scores.mean[wild.choose(question).index] >= scores.mean.max() - 0.05
    assert chosen(wild, replace(question, busy=True)) == chosen(GREEDY, question)


def test_a_price_on_the_edge_sends_jobs_elsewhere() -> None:
    question = asked(preference=0.9)
    cheap = chosen(GREEDY, replace(question, price=0.5))
    seconds = {item.arm.name: item.forecast.edge_s or 0.0 for item in question.candidates}
    assert seconds[cheap] < seconds[chosen(GREEDY, question)]


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.0, 1.0))
def test_more_waiting_at_the_edge_never_sends_more_work_there(few: int, more: int, preference: float) -> None:
    def edge_seconds(queue: int) -> float:
        question = asked(queue=queue, preference=preference)
        return question.candidates[GREEDY.choose(question).index].forecast.edge_s or 0.0

    few, more = min(few, more), max(few, more)
    on_device = edge_seconds(few) == 0.0
    assert not on_device or edge_seconds(more) == 0.0


def test_a_job_with_a_deadline_takes_an_arm_that_keeps_it() -> None:
    question = asked(preference=1.0)
    free = question.candidates[GREEDY.choose(question).index].forecast.latency_s
    hurried = replace(question, deadline_s=0.6)
    bound = question.candidates[GREEDY.choose(hurried).index].forecast.latency_s
    assert free is not None
    assert bound is not None
    assert bound < 0.6 < free


def test_a_deadline_that_nothing_can_keep_takes_the_surest_arm() -> None:
    question = asked(preference=1.0, deadline_s=1e-6)
    fastest = min(item.forecast.latency_s or 9.0 for item in question.candidates)
    assert question.candidates[GREEDY.choose(question).index].forecast.latency_s == fastest


def test_an_arm_that_keeps_failing_is_avoided() -> None:
    first = chosen(GREEDY, asked())
    failing = after(seen(str(i), clock=i, arm=first, failed=True, quality=None, seconds=()) for i in range(60))
    assert chosen(GREEDY, asked(failing)) != first


def test_the_same_question_has_the_same_answer() -> None:
    question = asked(taught("large:20", 0.8))
    assert {chosen(ComposedPolicy(), question) for _ in range(5)} == {chosen(ComposedPolicy(), question)}


def test_drawn_choices_are_as_frequent_as_their_propensities() -> None:
    policy = ComposedPolicy(epsilon=0.5, band=0.2)
    question = asked()
    counts: Counter[int] = Counter()
    shares: dict[int, float] = {}
    for index in range(600):
        choice = policy.choose(replace(question, draw=str(index)))
        counts[choice.index] += 1
        shares[choice.index] = choice.propensity
    assert len(shares) > 1
    assert sum(shares.values()) == pytest.approx(1.0)
    for index, share in shares.items():
        assert abs(counts[index] / 600 - share) < 5 * (share * (1 - share) / 600) ** 0.5


def test_complex_prompts_may_be_judged_otherwise_than_simple_ones() -> None:
    easy, hard = (prompt_features(text) for text in ("a cat", "two red circles left of three blue squares, no border"))
    base = asked()
    candidate = next(item for item in base.candidates if item.arm.name == "small:20")
    known = Knowledge()
    for index in range(120):
        prompt, quality = ((easy, 0.9), (hard, 0.2))[index % 2]
        basis = basis_of(candidate, FAMILY, prompt, known, 2.0)
        outcome = seen(
            str(index),
            clock=known.clock,
            arm="small:20",
            members=("small",),
            features=basis.features,
            base_quality=basis.quality,
            predicted=(None,),
            keys=candidate.keys,
            waits=(0.0,),
            moves=(),
            quality=quality,
        )
        known = after([outcome], known=known)

    def believed(prompt: Any) -> float:
        scores, _ = GREEDY.scored(replace(asked(known), prompt=prompt))
        return {score.arm: score.quality or 0.0 for score in scores}["small:20"]

    assert believed(easy) > 0.75
    assert believed(hard) < 0.4


def test_a_decision_logs_what_was_thought_of_every_arm() -> None:
    record = decided(policy=ComposedPolicy())
    assert record.decision.policy == "composed"
    views = [view for view in record.candidates if not view.masked]
    assert all(view.score is not None and view.price == 0.0 for view in views)
    best = max(views, key=lambda view: view.score or 0.0)
    assert best.arm == record.decision.arm
    assert record.decision.predictions.latency_s == best.predictions.latency_s


def test_scores_are_read_as_a_sequence() -> None:
    scores, _ = GREEDY.scored(asked())
    assert isinstance(scores, Scores)
    assert [score.arm for score in scores] == list(scores.arms)
    assert [score.arm for score in scores[1:3]] == list(scores.arms[1:3])
    with pytest.raises(IndexError):
        scores[len(scores)]
