"""A walk along a grid whose questions become asks: what one job computes for itself, between passes that it shares."""

from __future__ import annotations

from collections.abc import Callable, Generator
from time import perf_counter
from typing import NamedTuple, TypeVar

import torch

from rise_stage.engine.batch import Answer, Ask, Network
from rise_stage.engine.denoiser import Denoiser
from rise_stage.engine.families.base import Conditioning
from rise_stage.engine.run import Question, Step, Walk
from rise_stage.engine.solvers import Prediction

T = TypeVar("T")
Asking = Generator[Ask, Answer, T]
"""Work that yields asks, is sent their answers, and comes to a T."""


class Cost(NamedTuple):
    """What a step took of the thread that computes.

    Attributes:
        seconds: its own arithmetic, and all of the passes that it was in.
        share: of that what falls to it, passes being divided by rows.
        alone: whether no pass had rows of another job, so that `seconds` is what the step takes by itself.
    """

    seconds: float
    share: float
    alone: bool


OnStep = Callable[[Step, Cost], None]


def asking(
    walk: Walk,
    denoiser: Denoiser[Conditioning],
    network: Network,
    on_step: OnStep,
    clock: Callable[[], float] = perf_counter,
) -> Asking[Step]:
    """Walk to the end and give the last step. Scaling, guidance and solver are the job's own, as in a run alone.

    Whatever `on_step` raises ends the walk.
    """
    prediction: Prediction | None = None
    last: Step | None = None
    tally = _Tally(clock)
    while True:
        try:
            said = walk.send(prediction)
        except StopIteration:
            assert last is not None
            return last
        if isinstance(said, Step):
            on_step(said, tally.taken())
            tally.begin()
            last, prediction = said, None
            continue
        ask = _ask(said, denoiser, network)
        tally.pause()
        answer = yield ask
        tally.resume(answer)
        with torch.inference_mode():
            prediction = denoiser.prediction_from(said.x, said.level, said.form, answer.output)


def alone(work: Asking[T]) -> T:
    """Drive `work` to its end by itself, each ask answered by a pass of its own."""
    answer: Answer | None = None
    while True:
        try:
            ask = next(work) if answer is None else work.send(answer)
        except StopIteration as end:
            value: T = end.value
            return value
        began = perf_counter()
        with torch.inference_mode():
            output = ask.network(*ask.inputs)
        answer = Answer(output, perf_counter() - began, 1.0)


def _ask(question: Question, denoiser: Denoiser[Conditioning], network: Network) -> Ask:
    with torch.inference_mode():
        rows, timesteps = denoiser.rows(*question)
    return Ask(network, (rows, timesteps, *denoiser.conditioning.tensors))


class _Tally:
    """Adds up a step's cost; the time during which others compute is not in it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()
        self._own = self._passes = self._shares = 0.0
        self._alone = True

    def begin(self) -> None:
        self._since = self._clock()

    def pause(self) -> None:
        self._own += self._clock() - self._since

    def resume(self, answer: Answer) -> None:
        self._since = self._clock()
        self._passes += answer.seconds
        self._shares += answer.seconds * answer.share
        self._alone = self._alone and answer.share == 1

    def taken(self) -> Cost:
        self.pause()
        cost = Cost(self._own + self._passes, self._own + self._shares, self._alone)
        self._own = self._passes = self._shares = 0.0
        self._alone = True
        return cost
