"""Which jobs share a pass, what a pass that fails costs, and how rounds go: without a model."""

from __future__ import annotations

import itertools
import operator
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rise_stage.engine.asking import Asking, Cost, alone, asking
from rise_stage.engine.batch import Answer, Ask, Batch, packed, together
from rise_stage.engine.denoiser import Denoiser
from rise_stage.engine.families.base import Conditioning
from rise_stage.engine.run import Step, run_grid, walk_grid
from rise_stage.engine.schedules import build_grid
from rise_stage.rounds import Rounds
from tests.unit.stage.builders import SCHEDULE, noise


@dataclass(eq=False)
class Doubling:
    """A network that doubles, takes so many bytes a row, and has memory for so many rows."""

    row: int = 100
    memory: int | None = None
    passes: list[int] = field(default_factory=list)

    def __call__(self, *inputs: Tensor) -> Tensor:
        rows = inputs[0].shape[0]
        self.passes.append(rows)
        if self.memory is not None and rows > self.memory:
            raise torch.OutOfMemoryError(f"tried to allocate {rows} rows")
        return inputs[0] * 2

    def row_bytes(self, *inputs: Tensor) -> int:
        return self.row


def ask(network: Doubling, rows: int = 1, width: int = 4, value: float = 1.0) -> Ask:
    return Ask(network, (torch.full((rows, width), value), torch.zeros(rows)))


@given(kinds=st.lists(st.sampled_from("abc")))
def test_what_is_of_one_kind_goes_together_in_the_order_of_coming(kinds: list[str]) -> None:
    groups = together(kinds)
    assert sorted(index for group in groups for index in group) == list(range(len(kinds)))
    assert all(len({kinds[index] for index in group}) == 1 for group in groups)
    assert all(group == sorted(group) for group in groups)
    assert [group[0] for group in groups] == sorted(group[0] for group in groups)
    assert len(groups) == len(set(kinds))


@given(rows=st.lists(st.integers(1, 16)), most=st.none() | st.integers(1, 20))
def test_every_ask_is_in_one_pass_and_no_pass_is_too_large(rows: list[int], most: int | None) -> None:
    passes = packed(rows, most)
    assert [index for part in passes for index in part] == list(range(len(rows)))
    assert all(part for part in passes)
    if most is None:
        assert len(passes) <= 1
        return
    assert all(len(part) == 1 or sum(rows[index] for index in part) <= most for part in passes)
    for part, following in itertools.pairwise(passes):
        assert sum(rows[index] for index in part) + rows[following[0]] > most


def test_only_the_same_network_on_the_same_shapes_shares() -> None:
    one, other = Doubling(), Doubling()
    asks = [ask(one), ask(other), ask(one, rows=3), ask(one, width=5), ask(one), ask(other)]
    assert Batch().passes(asks) == [[0, 2, 4], [1, 5], [3]]


@pytest.mark.parametrize(("limit", "wanted"), [(None, [[0, 1, 2]]), (300, [[0, 1], [2]]), (50, [[0], [1], [2]])])
def test_the_memory_of_a_pass_bounds_its_rows(limit: int | None, wanted: list[list[int]]) -> None:
    network = Doubling(row=100)
    asks = [ask(network), ask(network, rows=2), ask(network, rows=2)]
    assert Batch(limit).passes(asks) == wanted


def test_a_batch_is_full_when_one_more_of_its_largest_would_not_fit() -> None:
    asks = [ask(Doubling(row=100)), ask(Doubling(row=100), rows=2)]
    assert [Batch(limit).is_full(asks) for limit in (None, 500, 499)] == [False, False, True]
    assert Batch(1).is_full([]) is False


def test_each_ask_gets_its_own_rows_and_its_share() -> None:
    network = Doubling()
    answers = Batch().forward([ask(network, value=1.0), ask(network, rows=3, value=2.0)])
    assert network.passes == [4]
    first, second = answers
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert torch.equal(first.output, torch.full((1, 4), 2.0))
    assert torch.equal(second.output, torch.full((3, 4), 4.0))
    assert (first.share, second.share) == (0.25, 0.75)
    assert first.seconds == second.seconds > 0


def test_a_pass_without_memory_is_made_in_halves_and_the_next_ones_are_smaller() -> None:
    network = Doubling(memory=2)
    batch = Batch()
    asks = [ask(network, value=float(at)) for at in range(5)]
    answers = batch.forward(asks)
    assert network.passes == [5, 2, 3, 1, 2]
    assert [float(answer.output[0, 0]) for answer in answers if isinstance(answer, Answer)] == [0, 2, 4, 6, 8]
    assert batch.passes(asks) == [[0], [1], [2], [3], [4]]
    assert Batch().passes(asks) == [[0, 1, 2, 3, 4]]


def test_the_rows_of_one_ask_are_halved_too_and_one_row_too_many_is_an_error() -> None:
    (answer,) = Batch().forward([ask(Doubling(memory=2), rows=5)])
    assert isinstance(answer, Answer)
    assert answer.output.shape == (5, 4)
    assert answer.share == 1
    (error,) = Batch().forward([ask(Doubling(memory=0), rows=3)])
    assert isinstance(error, torch.OutOfMemoryError)


def test_one_ask_that_the_network_cannot_take_costs_no_other_its_answer() -> None:
    @dataclass(eq=False)
    class Fussy(Doubling):
        def __call__(self, *inputs: Tensor) -> Tensor:
            if bool((inputs[0] < 0).any()):
                raise ValueError("below nought")
            return super().__call__(*inputs)

    network = Fussy()
    answers = Batch().forward([ask(network, value=value) for value in (1.0, -1.0, 3.0)])
    assert [type(answer) for answer in answers] == [Answer, ValueError, Answer]


def test_what_cannot_be_measured_shares_no_pass() -> None:
    @dataclass(eq=False)
    class Immeasurable(Doubling):
        def row_bytes(self, *inputs: Tensor) -> int:
            raise torch.OutOfMemoryError("not even one")

    network = Immeasurable()
    assert Batch(1000).passes([ask(network), ask(network)]) == [[0], [1]]


class Table:
    """Rounds that begin when all are there, and a record of whose ask was answered when."""

    def __init__(self, batch: Batch | None = None) -> None:
        self.rounds, self.answered = Rounds(batch or Batch()), list[str]()
        self._gate = threading.Event()
        self.rounds.start(self._wait, lambda: None)

    def add(self, begin: Callable[[], Asking[Any]], check: Callable[[], None] = lambda: None) -> Future[Any]:
        return self.rounds.start(begin, check)

    def work(self, name: str, network: Doubling, asks: int, rows: int = 1) -> Asking[str]:
        for _ in range(asks):
            yield ask(network, rows)
            self.answered.append(name)
        return name

    def open(self, futures: Sequence[Future[Any]]) -> list[Any]:
        self._gate.set()
        return [future.result(60) for future in futures]

    def _wait(self) -> Asking[None]:
        self._gate.wait(60)
        yield from ()


@given(lengths=st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=6))
def test_in_every_round_each_job_is_answered_once(lengths: list[tuple[int, bool]]) -> None:
    networks, table = (Doubling(), Doubling()), Table(Batch(limit=200))
    names = [str(at) for at in range(len(lengths))]
    every = zip(names, lengths, strict=True)
    futures = [table.add(partial(table.work, name, networks[kind], asks)) for name, (asks, kind) in every]
    assert table.open(futures) == names
    left = Counter({name: asks for name, (asks, _) in zip(names, lengths, strict=True) if asks})
    answered = list(table.answered)
    while left:
        this_round, answered = answered[: len(left)], answered[len(left) :]
        assert sorted(this_round) == sorted(left)
        left = Counter({name: count - 1 for name, count in left.items() if count > 1})
    assert answered == []


def test_those_who_wait_are_let_in_by_order_of_arrival_and_are_asked_whether_they_still_want() -> None:
    table, begun = Table(), list[int]()

    def begin(number: int) -> Asking[str]:
        begun.append(number)
        return table.work(str(number), Doubling(), 1)

    def unwanted() -> None:
        raise LookupError("gone")

    futures = [table.add(partial(begin, number)) for number in range(3)]
    gone = table.add(partial(begin, 9), unwanted)
    table.open(futures)
    with pytest.raises(LookupError):
        gone.result(60)
    assert begun == [0, 1, 2]


def test_a_job_that_lacks_memory_in_company_begins_again_by_itself_and_nobody_is_forgotten() -> None:
    table, live, network = Table(), set[str](), Doubling()
    tries = Counter[str]()

    def greedy(name: str) -> Asking[str]:
        tries[name] += 1
        live.add(name)
        yield ask(network)
        if len(live) > 1:
            live.discard(name)
            raise torch.OutOfMemoryError("decoding")
        yield ask(network)
        live.discard(name)
        return name

    def modest(name: str) -> Asking[str]:
        live.add(name)
        yield from table.work(name, network, 4)
        live.discard(name)
        return name

    futures = [table.add(partial(greedy, "a")), table.add(partial(modest, "b")), table.add(partial(greedy, "c"))]
    late = table.add(partial(modest, "d"))
    assert table.open([*futures, late]) == ["a", "b", "c", "d"]
    assert tries == {"a": 2, "c": 2}


def test_a_job_that_lacks_memory_by_itself_says_so() -> None:
    rounds = Rounds(Batch())
    with pytest.raises(torch.OutOfMemoryError):
        rounds.run(lambda: _one_ask(Doubling(memory=0)), lambda: None)
    assert rounds.run(lambda: _one_ask(Doubling()), lambda: None) == 2.0


def _one_ask(network: Doubling) -> Asking[float]:
    answer = yield ask(network)
    return float(answer.output[0, 0])


def test_it_is_full_only_while_somebody_is_there() -> None:
    rounds, seen = Rounds(Batch(limit=100)), list[bool]()

    def work() -> Asking[None]:
        yield ask(Doubling(row=100))
        seen.append(rounds.full)

    rounds.run(work, lambda: None)
    assert seen == [True]
    assert rounds.full is False


def test_a_function_runs_on_the_thread_that_computes() -> None:
    rounds = Rounds(Batch())
    name = rounds.call(lambda: threading.current_thread().name)
    assert name == rounds.call(lambda: threading.current_thread().name) != threading.current_thread().name
    with pytest.raises(LookupError):
        rounds.call(partial(operator.getitem, {}, "nothing"))


@dataclass(eq=False)
class Scaled(Doubling):
    """Predicts the clean latent: what it is given, times the mean of the conditioning."""

    def __call__(self, *inputs: Tensor) -> Tensor:
        return inputs[0] * inputs[2].mean(dim=1)[:, None, None, None]


@pytest.mark.parametrize("solver", ["euler", "heun", "ddim", "dpmpp_2m", "unipc"])
@pytest.mark.parametrize("guidance", [None, 3.0])
def test_asking_alone_is_bit_equal_to_a_run(solver: Any, guidance: float | None) -> None:
    network, rows = Scaled(), 2 if guidance is None else 4
    conditioning = Conditioning(torch.linspace(0.1, 0.9, rows * 3).reshape(rows, 3), guidance=guidance)
    denoiser = Denoiser(lambda x, t, c: network(x, t, *c.tensors), "sample", conditioning, guidance)
    grid = build_grid(SCHEDULE, "trailing", 5, None, 0.0)
    *_, wanted = run_grid(denoiser, noise(), grid, solver)
    found = alone(asking(walk_grid(noise(), grid, solver), denoiser, network, lambda step, cost: None))
    assert torch.equal(found.x, wanted.x)
    assert found.index == wanted.index == 4


def test_a_step_costs_its_own_time_and_its_share_of_the_passes() -> None:
    """By a clock that is turned by hand: one second for each look at it. Ten that others are served for and a hundred
    that pass between two steps are not in it."""
    now, costs = 0.0, list[Cost]()

    def clock() -> float:
        nonlocal now
        now += 1.0
        return now

    def on_step(step: Step, cost: Cost) -> None:
        nonlocal now
        now += 100.0
        costs.append(cost)

    conditioning = Conditioning(torch.ones(2, 3))
    denoiser = Denoiser(lambda x, t, c: x, "sample", conditioning)
    walk = walk_grid(noise(), build_grid(SCHEDULE, "trailing", 2, None, 0.0), "euler")
    work = asking(walk, denoiser, Scaled(), on_step, clock)
    wanted = next(work)
    for share in (1.0, 0.25):
        now += 10.0
        try:
            wanted = work.send(Answer(wanted.network(*wanted.inputs), 4.0, share))
        except StopIteration:
            break
    first, second = costs
    assert (first.seconds, first.share, first.alone) == (6.0, 6.0, True)
    assert (second.seconds, second.share, second.alone) == (6.0, 3.0, False)
