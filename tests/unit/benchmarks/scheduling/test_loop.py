"""The closed loop: nothing is lost, queues are first come first served, and what is told is a second old."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import pytest

from benchmarks.scheduling import plain, synthetic, told, workload
from benchmarks.scheduling.closedloop import Load, Loop
from benchmarks.scheduling.seam import EDGE_POOL, Asked, Chosen, Desk, News, Player
from rise_scheduler.prompt import prompt_features


class Watching:
    """Lets another choose, and keeps what is heard."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self.asked: list[Asked] = []
        self.heard: list[News] = []

    def choose(self, asked: Asked) -> Chosen:
        self.asked.append(asked)
        return self._player.choose(asked)

    def learn(self, news: News) -> None:
        self.heard.append(news)


def first_arm(loop: Loop, name: str) -> plain.Ranked:
    arms = loop.desk.arms
    return plain.Ranked(sorted(range(len(arms)), key=lambda index: arms[index].name != name))


def test_with_time_between_jobs_nobody_waits_and_latency_is_what_stages_and_handoffs_take() -> None:
    loop = Loop(1, Load(0.01, 1.0, 60))
    player = Watching(first_arm(loop, "full:9@2+finisher:6"))
    result = loop.run(player)
    ended = [news for news in player.heard if news.first]
    assert len(ended) == 60
    waits = np.array([news.wait_s for news in ended])
    moved = np.array([news.latency_s - news.wait_s - sum(news.stage_seconds) for news in ended])
    assert np.mean(waits > 0) < 0.1
    assert (moved > 0.03).all()
    assert all(len(news.stage_seconds) == 2 for news in ended)
    assert result.over < 0.1


def test_an_edge_with_more_work_than_it_can_do_falls_behind() -> None:
    calm, full = (Loop(1, Load(rate, 1.0, 300)) for rate in (0.05, 1.0))
    few, many = (loop.run(first_arm(loop, "full:30")) for loop in (calm, full))
    assert few.edge_busy < 0.3
    assert many.edge_busy > 0.95
    assert many.p95_s > 20 * few.p50_s
    assert many.over > 0.9


def test_jobs_of_one_pool_start_in_the_order_in_which_they_came() -> None:
    loop = Loop(2, Load(1.0, 1.0, 120))
    player = Watching(first_arm(loop, "full:30"))
    loop.run(player)
    began = {news.asked.job: news.asked.at + news.wait_s for news in player.heard if news.first}
    starts = [began[job] for job in sorted(began)]
    assert starts == sorted(starts)


def test_bursts_make_the_same_jobs_wait_longer() -> None:
    results = []
    for cv in (1.0, 5.0):
        loop = Loop(3, Load(0.3, cv, 400))
        results.append(loop.run(first_arm(loop, "full:15")))
    assert results[1].p95_s > 2 * results[0].p95_s


def test_a_run_is_the_same_again() -> None:
    one, two = (Loop(4, Load(0.9, 2.0, 80)) for _ in range(2))
    assert one.run(plain.Shortest()) == two.run(plain.Shortest())


@dataclass
class Line:
    workers: int
    busy: int = 0
    queue: deque[int] = field(default_factory=deque)


def platform() -> tuple[told.Platform, dict[str, Line]]:
    profile = synthetic.profile()
    desk = Desk(profile.family, profile.arms, profile.latent_bytes, profile.reference_s)
    pools = {EDGE_POOL: Line(2)} | {name: Line(12) for name in workload.DEVICES}
    return told.Platform(desk, profile), pools


def seen(index: int, at: float) -> told.Seen:
    return told.Seen(index, at, "a red fox", prompt_features("a red fox"), 0.5, 1, 2e6, 0.02)


def edge_wait(asked: Asked) -> float:
    return min(c.forecast.waits[0] for c in asked.question.candidates if c.tiers[0] == "edge")


def test_a_queue_is_told_of_with_the_next_heartbeat() -> None:
    platform_, pools = platform()
    platform_.pass_until(0.1, pools)
    pools[EDGE_POOL].busy, pools[EDGE_POOL].queue = 2, deque([1, 2, 3])
    platform_.pass_until(0.9, pools)
    assert edge_wait(platform_.ask(seen(0, 0.9))) == 0.0
    platform_.pass_until(1.1, pools)
    asked = platform_.ask(seen(1, 1.1))
    assert edge_wait(asked) > 0.0
    assert asked.x[4] == pytest.approx(2.5 / 3.5), "five tasks at two workers: L / (1 + L)"


def test_what_was_sent_is_reckoned_with_before_any_heartbeat_tells_of_it() -> None:
    platform_, pools = platform()
    platform_.pass_until(0.1, pools)
    first = platform_.ask(seen(0, 0.2))
    assert edge_wait(first) == 0.0
    place = next(i for i, c in enumerate(first.question.candidates) if c.arm.name == "full:30")
    platform_.sent(seen(0, 0.2), first, place)
    assert edge_wait(platform_.ask(seen(1, 0.3))) > 0.5
    platform_.over(0)
    assert edge_wait(platform_.ask(seen(2, 0.4))) == 0.0


def test_a_job_sees_the_devices_of_its_own_pool_alone() -> None:
    platform_, pools = platform()
    platform_.pass_until(0.1, pools)
    asked = platform_.ask(seen(0, 0.2))
    where = {place.pool for c in asked.question.candidates for place in c.places}
    assert where == {EDGE_POOL, "laptop"}
    assert len(asked.arms) == 28
