"""The list of jobs and the drifts of a demo are fixed in advance."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.demo.world import EDGE, FAR, LINKS, NEAR, PACE, PHASES, PREFERENCES, jobs, phase_at
from rise_shapes.grammar import parse


def test_the_same_length_gives_the_same_list() -> None:
    assert jobs(200) == jobs(200)


def test_jobs_come_in_order_within_the_run_and_each_in_its_phase() -> None:
    asked = jobs(200)
    assert [ask.at for ask in asked] == sorted(ask.at for ask in asked)
    assert asked[0].at >= 0 and asked[-1].at < 200
    assert all(ask.phase == phase_at(ask.at, 200) for ask in asked)


def test_the_load_of_a_phase_is_its_rate() -> None:
    seconds = 6000.0
    counts = Counter(ask.phase for ask in jobs(seconds))
    for index, phase in enumerate(PHASES):
        assert counts[index] == pytest.approx(phase.rate * seconds / len(PHASES), rel=0.15)


def test_every_preference_is_asked_and_no_seed_twice() -> None:
    asked = jobs(200)
    counts = Counter(ask.preference for ask in asked)
    assert set(counts) == set(PREFERENCES)
    assert min(counts.values()) > len(asked) / 6
    assert len({ask.seed for ask in asked}) == len(asked)


def test_every_prompt_can_be_judged() -> None:
    assert all(parse(ask.prompt) == ask.scene for ask in jobs(60))


def test_a_phase_changes_what_it_names_and_nothing_else() -> None:
    by_name = {phase.name: phase for phase in PHASES}
    throttled, away = by_name["edge throttled"], by_name["devices on 3G"]
    assert throttled.paces() == {**PACE, EDGE: throttled.pace[EDGE]}
    assert throttled.link(NEAR) == LINKS[NEAR]
    assert away.paces() == PACE
    assert away.link(EDGE) == LINKS[EDGE] and away.link(FAR).delay_s > LINKS[FAR].delay_s


def test_the_last_moment_is_of_the_last_phase() -> None:
    assert (phase_at(0, 60), phase_at(60, 60), phase_at(999, 60)) == (0, len(PHASES) - 1, len(PHASES) - 1)
