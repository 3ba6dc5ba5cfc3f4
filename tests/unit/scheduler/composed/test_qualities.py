"""What was worked out once for each state of what was learned is what the rows of features give."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rise_scheduler.arm import Arm
from rise_scheduler.arms import arms_for, canonical_arms
from rise_scheduler.composed import qualities as module
from rise_scheduler.composed.change import noise_variance
from rise_scheduler.composed.evidence import Ridge
from rise_scheduler.composed.features import design_for
from rise_scheduler.composed.knowledge import Knowledge, Learning
from rise_scheduler.composed.prior import solved
from rise_scheduler.composed.qualities import FORMS_KEPT, qualities
from rise_scheduler.prompt import prompt_features
from tests.unit.scheduler.builders import family

FAMILY = family()
ARMS = (*canonical_arms(FAMILY), *arms_for(FAMILY, 10))
HOW = Learning()


def taught(seed: int, pictures: int) -> Knowledge:
    """After so many pictures of arms at random, each with a residual at random."""
    rng = np.random.default_rng(seed)
    design = design_for(FAMILY)
    static, _ = design.rows_of([ARMS[index] for index in rng.integers(len(ARMS), size=pictures)])
    rows = [design.matrix(static[[place]], prompt_features(text(rng)))[0] for place in range(pictures)]
    x = np.array(rows).reshape(pictures, len(design.names))
    return Knowledge(quality=Ridge(design.names, x.T @ x, x.T @ rng.normal(0.0, 0.3, pictures), float(pictures)))


def text(rng: np.random.Generator) -> str:
    words = "a red cat, no left of three large blue squares oil painting".split(" ")
    return " ".join(rng.choice(words, size=rng.integers(1, 30)))


@given(st.integers(0, 2**32 - 1), st.integers(0, 400), st.lists(st.sampled_from(ARMS), min_size=1))
def test_means_and_deviations_are_those_of_the_rows_of_features(seed: int, pictures: int, arms: list[Arm]) -> None:
    known, prompt = taught(seed, pictures), prompt_features(text(np.random.default_rng(seed + 1)))
    design = design_for(FAMILY)
    static, base = design.rows_of(arms)
    x = design.matrix(static, prompt)
    model = solved(known.quality, design.names, HOW.prior, known.trust(HOW))
    mean, deviation = qualities(arms, FAMILY, prompt, known, HOW)
    np.testing.assert_allclose(mean, np.clip(base + x @ model.theta, 0.0, 1.0), atol=1e-9)
    variances = np.array([row @ model.inverse @ row for row in x]) * noise_variance(known.noise)
    np.testing.assert_allclose(deviation**2, variances, rtol=1e-6, atol=1e-12)
    assert (deviation > 0.0).all()


def test_a_family_that_was_changed_is_not_taken_for_what_it_was() -> None:
    known, prompt = taught(1, 40), prompt_features("a cat")
    bigger = FAMILY.model_copy(deep=True)
    small = next(member for member in bigger.spec.members if member.name == "small")
    larger = small.model_copy(update={"parameters": 100 * (small.parameters or 1)})
    spec = bigger.spec.model_copy(
        update={"members": tuple(larger if member is small else member for member in bigger.spec.members)}
    )
    bigger = bigger.model_copy(update={"spec": spec})
    before = qualities(canonical_arms(FAMILY), FAMILY, prompt, known, HOW)[0]
    after = qualities(canonical_arms(bigger), bigger, prompt, known, HOW)[0]
    assert [arm.name for arm in canonical_arms(bigger)] == [arm.name for arm in canonical_arms(FAMILY)]
    assert (before != after).any()


def test_what_was_worked_out_is_kept_for_a_bounded_number_of_sets_of_arms() -> None:
    known, prompt = taught(2, 40), prompt_features("a cat")
    for places in range(1, 2 * FORMS_KEPT):
        qualities([ARMS[place % len(ARMS)] for place in range(places)], FAMILY, prompt, known, HOW)
    model = solved(known.quality, design_for(FAMILY).names, HOW.prior, known.trust(HOW))
    assert 0 < len(module._FORMS[model]) <= FORMS_KEPT
