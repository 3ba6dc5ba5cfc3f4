"""What another policy would have earned, estimated from the log of the one that ran.

    IPS = mean of w r,  SNIPS = sum w r / sum w,  w = [same arm] / propensity,
    DR = mean of (m(target) + w (r - m(logged)))

The log is that of the composed policy with its draw among near-best arms; only jobs whose quality was judged count,
as in production. The model m is what the log's own decisions expected of each arm, corrected by a ridge that is
fitted on other stretches of the log (cross-fitting, Chernozhukov et al., 2018). A drawn arm has a propensity of a few
thousandths, and a few such jobs then outweigh all others; so weights above SWITCH are left to the model (Wang,
Agarwal and Dudik, 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.scheduling.product import Composed
from benchmarks.scheduling.replay import Played, play
from benchmarks.scheduling.seam import Asked, Chosen, News, Player
from benchmarks.scheduling.world import World, utilities

RIDGE = 30.0
SWITCH = 10.0
STRETCH = 50
"""Jobs in a row that the correction is fitted on, or applied to: neighbours see the same state of the world."""


@dataclass(frozen=True, eq=False)
class Log:
    """Judged jobs of a run: the arm that was chosen (jobs,), its propensity, the reward seen, the arm that the target
    would have chosen; ``expected`` (jobs, arms) by the log's own decisions, and what else a model may know of each arm,
    ``x`` (jobs, arms, d); 0 where an arm could not run."""

    arm: np.ndarray
    propensity: np.ndarray
    reward: np.ndarray
    target: np.ndarray
    expected: np.ndarray
    x: np.ndarray


@dataclass(frozen=True)
class Estimates:
    """Of the target's mean reward: by IPS, SNIPS, doubly robust and the same with the switch; and the truth."""

    ips: float
    snips: float
    dr: float
    switch: float
    truth: float


class Noting:
    """The composed policy, with what each of its decisions expected of every arm noted in ``expected``."""

    def __init__(self, player: Composed, arms: int) -> None:
        self._player, self._arms = player, arms
        self.expected: list[np.ndarray] = []

    def choose(self, asked: Asked) -> Chosen:
        chosen = self._player.choose(asked)
        row = np.zeros(self._arms)
        row[asked.arms] = self._player.expected
        self.expected.append(row)
        return chosen

    def learn(self, news: News) -> None:
        self._player.learn(news)


def estimates(world: World, ours: Composed, target: Player) -> Estimates:
    """Run ``ours`` and estimate from its log what ``target``, which learns nothing, would have earned."""
    noting = Noting(ours, len(world.desk.arms))
    played = play(noting, world)
    wanted = choices(target, world)
    truth = float(world.utility[np.arange(len(wanted)), wanted].mean())
    return estimate(log_of(world, played, wanted, np.array(noting.expected)), truth)


def log_of(world: World, played: Played, target: np.ndarray, expected: np.ndarray) -> Log:
    """The log that a run leaves; ``target`` (jobs,) are the other's arms."""
    judged = np.flatnonzero(world.judged)
    arm = played.arm[judged]
    reward = utilities(
        world.scored[judged, arm][:, None],
        world.latency[judged, arm][:, None],
        np.array([world.asked[i].question.preference for i in judged]),
        world.desk.reference_s,
    )[:, 0]
    x = np.stack([_described(world.asked[i], world) for i in judged])
    return Log(arm, played.propensity[judged], reward, target[judged], expected[judged], x)


def choices(player: Player, world: World) -> np.ndarray:
    """What a player that learns nothing would choose, (jobs,)."""
    return np.array([int(asked.arms[player.choose(asked).place]) for asked in world.asked])


def estimate(log: Log, truth: float) -> Estimates:
    """All estimates."""
    same = log.arm == log.target
    weight = same / log.propensity
    rows = np.arange(len(log.arm))
    logged, wanted = log.x[rows, log.arm], log.x[rows, log.target]
    model_logged, model_wanted = log.expected[rows, log.arm], log.expected[rows, log.target]
    missed = log.reward - model_logged
    even = rows // STRETCH % 2 == 0
    corrected_logged, corrected_wanted = model_logged.copy(), model_wanted.copy()
    for fitted in (even, ~even):
        theta = _ridge(logged[fitted], missed[fitted])
        corrected_logged[~fitted] += logged[~fitted] @ theta
        corrected_wanted[~fitted] += wanted[~fitted] @ theta
    rest = weight * (log.reward - corrected_logged)
    return Estimates(
        ips=float((weight * log.reward).mean()),
        snips=float((weight * log.reward).sum() / weight.sum()) if same.any() else float("nan"),
        dr=float((corrected_wanted + rest).mean()),
        switch=float((corrected_wanted + rest * (weight <= SWITCH)).mean()),
        truth=truth,
    )


def _ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    theta: np.ndarray = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y)
    return theta


def _described(asked: Asked, world: World) -> np.ndarray:
    """The utility by formula and prior table, both its parts, and the arm itself, (arms, d)."""
    count = len(world.desk.arms)
    found = np.zeros((count, 6 + count))
    w, complexity = asked.question.preference, asked.question.prompt.complexity
    slow = (1.0 - w) * 0.5 * np.minimum(asked.latency / world.desk.reference_s, 2.0)
    quality = w * world.prior.scores.mean(axis=0)[asked.arms]
    ones = np.ones(len(asked.arms))
    columns = (ones, slow, quality, w * ones, w * complexity * ones, quality * complexity)
    found[asked.arms, :6] = np.stack(columns, axis=1)
    # What an arm's table lacks is quality, so its own term counts by the user's weight of quality.
    found[asked.arms, 6 + asked.arms] = w
    return found
