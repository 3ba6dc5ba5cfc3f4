"""The replay: regret is exact, and nobody hears of anything before it is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.scheduling import plain
from benchmarks.scheduling.replay import play
from tests.unit.benchmarks.scheduling.worlds import Knowing, small


def test_who_knows_all_has_no_regret() -> None:
    played = play(Knowing(small().utility), small())
    assert played.total == pytest.approx(0.0)
    assert (played.regret >= 0).all()


def test_who_chooses_the_worst_has_the_most() -> None:
    worst, chance = play(Knowing(-small().utility), small()), play(plain.Random(1), small())
    assert worst.total > chance.total > 0
    lowest = np.where(small().available, small().utility, np.inf).min(axis=1)
    assert worst.regret == pytest.approx(small().best - lowest)


def test_an_outcome_is_heard_after_the_job_has_ended_and_its_quality_not_before() -> None:
    player = Knowing(small().utility)
    play(player, small())
    assert player.heard
    ended: set[int] = set()
    for asked_so_far, news in player.heard:
        last = small().asked[asked_so_far - 1].at
        next_at = small().asked[asked_so_far].at
        assert news.asked.at + news.latency_s <= next_at
        assert last < next_at
        if news.first:
            ended.add(news.asked.job)
            assert news.quality is None
        else:
            assert news.asked.job in ended


def test_only_what_is_judged_is_ever_told_of_quality() -> None:
    player = Knowing(small().utility)
    play(player, small())
    scored = {news.asked.job for _, news in player.heard if not news.first}
    judged = set(np.flatnonzero(small().judged).tolist())
    assert scored <= judged
    assert len(scored) > 0.7 * len(judged)
    assert 0.5 < small().judged.mean() < 0.7


def test_news_holds_what_the_world_says_of_that_arm() -> None:
    player = Knowing(small().utility)
    play(player, small())
    for _, news in player.heard:
        job, arm = news.asked.job, news.arm
        assert news.latency_s == small().latency[job, arm]
        assert sum(news.stage_seconds) == pytest.approx(small().stages[job, arm].sum())
        assert len(news.stage_seconds) == len(small().desk.arms[arm].parts)
        if news.quality is not None:
            assert news.quality == small().scored[job, arm]


def test_the_same_seed_plays_the_same_game() -> None:
    one, two = (play(plain.Random(7), small()) for _ in range(2))
    assert (one.arm == two.arm).all()
