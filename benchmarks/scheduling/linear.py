"""Bandits on a scalar reward with one linear model per arm: epsilon-greedy, Thompson sampling, and discounted LinUCB.

The paper-like LinUCB itself is the product's own (``product``). These learn an outcome as the product does: at once,
with the quality expected of the arm, and corrected when its quality is judged, so that latency never waits for a judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.scheduling.seam import Asked, Chosen, Desk, News
from rise_scheduler.context import FEATURES
from rise_scheduler.reward import reward

Features = Literal["paper", "rich"]


class Qualities:
    """The mean measured quality of each arm, with one measurement at what sizes and steps let expect."""

    def __init__(self, desk: Desk) -> None:
        self._total = np.array(desk.expected)
        self._count = np.ones(len(desk.expected))

    def expected(self, arm: int) -> float:
        return float(self._total[arm] / self._count[arm])

    def add(self, arm: int, quality: float) -> None:
        self._total[arm] += quality
        self._count[arm] += 1


@dataclass
class Credit:
    """What an outcome adds to its arm: ``x`` x^T ``weight`` to A and ``change`` x to b, of a job that was decided as
    the ``job``-th."""

    arm: int
    job: int
    x: np.ndarray
    weight: float
    change: float


class Rewards:
    """Turns news into credits: the reward with the expected quality first, then the difference that judging makes."""

    def __init__(self, desk: Desk, features: Features) -> None:
        self._desk, self._features = desk, features
        self._qualities = Qualities(desk)
        self._guessed: dict[int, float] = {}

    @property
    def dim(self) -> int:
        return len(FEATURES) if self._features == "paper" else self._desk.rich_dim

    def x(self, asked: Asked) -> np.ndarray:
        return asked.x if self._features == "paper" else asked.rich

    def credit(self, news: News) -> Credit:
        """The reward's scale is the world's own."""
        question, arm, job = news.asked.question, news.arm, news.asked.job
        x = self.x(news.asked)
        if news.first:
            quality = self._guessed[job] = self._qualities.expected(arm)
            value = reward(quality, news.latency_s, preference=question.preference, reference_s=self._desk.reference_s)
            return Credit(arm, job, x, 1.0, value)
        assert news.quality is not None
        self._qualities.add(arm, news.quality)
        return Credit(arm, job, x, 0.0, question.preference * (news.quality - self._guessed.pop(job)))


class Disjoint:
    """One ridge per arm. ``A`` (arms, d, d) begins at ``ridge`` times the identity; its inverse and the solution are
    made anew for an arm whose sums have changed."""

    def __init__(self, desk: Desk, features: Features, ridge: float) -> None:
        self.rewards = Rewards(desk, features)
        arms, dim = len(desk.arms), self.rewards.dim
        self.A = np.tile(ridge * np.eye(dim), (arms, 1, 1))
        self.b = np.zeros((arms, dim))
        self.inverse = np.linalg.inv(self.A)
        self.theta = np.zeros((arms, dim))

    def learn(self, news: News) -> None:
        credit = self.rewards.credit(news)
        arm = credit.arm
        if credit.weight:
            self.A[arm] += credit.weight * np.outer(credit.x, credit.x)
            self.inverse[arm] = np.linalg.inv(self.A[arm])
        self.b[arm] += credit.change * credit.x
        self.theta[arm] = self.inverse[arm] @ self.b[arm]


class EpsilonGreedy(Disjoint):
    """The best mean; in a share ``epsilon`` of the jobs, any arm."""

    def __init__(self, desk: Desk, seed: int, *, epsilon: float, features: Features, ridge: float = 1.0) -> None:
        super().__init__(desk, features, ridge)
        self._epsilon, self._rng = epsilon, np.random.default_rng([seed, 78])

    def choose(self, asked: Asked) -> Chosen:
        if self._rng.random() < self._epsilon:
            return Chosen(int(self._rng.integers(len(asked.arms))))
        means = self.theta[asked.arms] @ self.rewards.x(asked)
        return Chosen(int(means.argmax()))


class LinTS(Disjoint):
    """Thompson sampling (Agrawal and Goyal, 2013): theta ~ N(A^-1 b, v^2 A^-1). Of each arm only theta . x counts,
    which is normal too, so that is drawn."""

    def __init__(self, desk: Desk, seed: int, *, v: float, features: Features, ridge: float = 1.0) -> None:
        super().__init__(desk, features, ridge)
        self._v, self._rng = v, np.random.default_rng([seed, 79])

    def choose(self, asked: Asked) -> Chosen:
        x = self.rewards.x(asked)
        width = np.sqrt(np.einsum("i,kij,j->k", x, self.inverse[asked.arms], x))
        drawn = self.theta[asked.arms] @ x + self._v * width * self._rng.normal(size=len(width))
        return Chosen(int(drawn.argmax()))


class LinUcb(Disjoint):
    """LinUCB as the product's, but free in its features: the paper's context is not all that can be known."""

    def __init__(self, desk: Desk, *, alpha: float, features: Features, ridge: float = 1.0) -> None:
        super().__init__(desk, features, ridge)
        self._alpha = alpha

    def choose(self, asked: Asked) -> Chosen:
        x = self.rewards.x(asked)
        width = np.sqrt(np.einsum("i,kij,j->k", x, self.inverse[asked.arms], x))
        return Chosen(int((self.theta[asked.arms] @ x + self._alpha * width).argmax()))


class DLinUcb:
    """D-LinUCB (Russac, Vernade and Cappe, NeurIPS 2019), one model per arm, all forgetting with every job.

    V = sum g^(t-s) x x^T + ridge I,  W = sum g^(2(t-s)) x x^T + ridge I,  width = sqrt(x^T V^-1 W V^-1 x)
    """

    def __init__(self, desk: Desk, *, alpha: float, gamma: float, features: Features, ridge: float = 1.0) -> None:
        self.rewards = Rewards(desk, features)
        self._alpha, self._gamma, self._ridge = alpha, gamma, ridge
        arms, dim = len(desk.arms), self.rewards.dim
        self._v, self._w = np.zeros((2, arms, dim, dim))
        self._b = np.zeros((arms, dim))
        self._job = np.zeros(arms)
        self._eye = ridge * np.eye(dim)

    def learn(self, news: News) -> None:
        credit = self.rewards.credit(news)
        arm, now = credit.arm, max(float(credit.job), float(self._job[credit.arm]))
        faded = self._gamma ** (now - self._job[arm])
        late = self._gamma ** (now - credit.job)
        square = credit.weight * np.outer(credit.x, credit.x)
        self._v[arm] = faded * self._v[arm] + late * square
        self._w[arm] = faded**2 * self._w[arm] + late**2 * square
        self._b[arm] = faded * self._b[arm] + late * credit.change * credit.x
        self._job[arm] = now

    def choose(self, asked: Asked) -> Chosen:
        x, arms = self.rewards.x(asked), asked.arms
        faded = self._gamma ** np.maximum(asked.job - self._job[arms], 0.0)
        inverse = np.linalg.inv(faded[:, None, None] * self._v[arms] + self._eye)
        half = inverse @ x
        mean = np.einsum("ki,ki->k", half, faded[:, None] * self._b[arms])
        w = (faded**2)[:, None, None] * self._w[arms] + self._eye
        width = np.sqrt(np.einsum("ki,kij,kj->k", half, w, half))
        return Chosen(int((mean + self._alpha * width).argmax()))
