"""SquareCB (Foster and Rakhlin, 2020) as Vowpal Wabbit has it: a contextual bandit that nobody here wrote.

It is given all that the product knows: arms by name and by what they are made of, the formula's latency of each, the
backlog and the link, each with the others. A cost is (1 - reward) / 2.
"""

from __future__ import annotations

import numpy as np
from vowpalwabbit import Workspace

from benchmarks.scheduling.linear import Qualities
from benchmarks.scheduling.seam import RICH, Asked, Chosen, Desk, News
from rise_scheduler.reward import reward


class SquareCb:
    """``gamma`` scales how fast it stops exploring, ``rate`` is the learning rate. With ``waits`` a job is learned from
    when its quality is judged, and not at all where it never is; without, at once with the quality expected of its
    arm."""

    def __init__(self, desk: Desk, seed: int, *, gamma: float, rate: float, formula: bool, waits: bool) -> None:
        self._desk, self._waits, self._formula = desk, waits, formula
        self._qualities = Qualities(desk)
        self._rng = np.random.default_rng([seed, 80])
        self._asked: dict[int, tuple[list[str], float]] = {}
        self._names = [f"arm{index}" for index in range(len(desk.arms))]
        self._made_of = [
            " ".join(
                f"{stage}_{part.member} {stage}_steps:{part.steps / 20:.3f}" for stage, part in enumerate(arm.parts)
            )
            for arm in desk.arms
        ]
        crossed = "-q ca -q cm -q cf -q mf" if formula else "-q ca -q cm"
        self._vw = Workspace(
            f"--cb_explore_adf --squarecb --cb_type mtr --gamma_scale {gamma} --gamma_exponent 0.5 -l {rate} "
            f"{crossed} --quiet --random_seed {seed + 1}"
        )

    def choose(self, asked: Asked) -> Chosen:
        lines = self._lines(asked)
        chances = np.array(self._vw.predict(lines))
        chances /= chances.sum()
        place = int(self._rng.choice(len(chances), p=chances))
        self._asked[asked.job] = lines, float(chances[place])
        return Chosen(place, float(chances[place]))

    def learn(self, news: News) -> None:
        if not news.first:
            assert news.quality is not None
            self._qualities.add(news.arm, news.quality)
        if self._waits == news.first:
            return
        lines, chance = self._asked.pop(news.asked.job)
        quality = self._qualities.expected(news.arm) if news.quality is None else news.quality
        question = news.asked.question
        value = reward(quality, news.latency_s, preference=question.preference, reference_s=self._desk.reference_s)
        told = list(lines)
        told[news.place + 1] = f"0:{(1.0 - value) / 2.0:.5f}:{chance:.5f} {told[news.place + 1]}"
        self._vw.learn(told)

    def _lines(self, asked: Asked) -> list[str]:
        context = " ".join(f"{name}:{value:.4f}" for name, value in zip(RICH[1:], asked.rich[1:], strict=True))
        lines = [f"shared |c {context}"]
        latency, edge = asked.latency / self._desk.reference_s, asked.edge / self._desk.reference_s
        w = asked.question.preference
        for place, arm in enumerate(asked.arms):
            line = f"|a {self._names[arm]} |m {self._made_of[arm]}"
            if self._formula:
                line += f" |f slow:{(1 - w) * min(latency[place], 2.0):.4f} edge:{edge[place]:.4f}"
            lines.append(line)
        return lines
