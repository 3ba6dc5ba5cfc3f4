"""What is in memory: one limit for all parts, room made beforehand, nothing read twice while it is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from rise_stage.engine.parts import Memory, Part, lent, weight_of


class Value:
    """So many bytes."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes


def part(memory: Memory, name: str, nbytes: int, said: int | None = None, log: list[str] | None = None) -> Part[Value]:
    """A part that weighs `nbytes`, of which its files say that it weighs `said`."""

    def read() -> Value:
        if log is not None:
            log.append(f"{name} at {memory.nbytes}")
        return Value(nbytes)

    return Part(memory, name, read, lambda value: value.nbytes, nbytes=nbytes if said is None else said)


def names(memory: Memory) -> list[str]:
    return [held.name for held in memory]


def test_nothing_is_read_before_it_is_asked_for_nor_twice() -> None:
    memory, log = Memory(), list[str]()
    encoder = part(memory, "encoder", 5, log=log)
    assert (encoder.loaded, memory.nbytes, log) == (False, 0, [])
    assert encoder() is encoder()
    with encoder.use() as value:
        assert value is encoder()
    assert (encoder.loaded, memory.nbytes, log) == (True, 5, ["encoder at 0"])


def test_the_least_recently_used_makes_room_before_another_is_read() -> None:
    memory, log = Memory(10), list[str]()
    a, b, c = (part(memory, name, 4, log=log) for name in "abc")
    for wanted in (a, b, a, c):
        wanted()
    assert names(memory) == ["a", "c"]
    assert log == ["a at 0", "b at 4", "c at 4"]


def test_as_many_leave_as_it_takes() -> None:
    memory = Memory(10)
    for name in "abc":
        part(memory, name, 3)()
    part(memory, "large", 9)()
    assert (names(memory), memory.nbytes) == (["large"], 9)


def test_what_was_asked_for_last_stays_though_it_is_too_large() -> None:
    memory = Memory(1)
    part(memory, "a", 5)()
    part(memory, "b", 6)()
    assert (names(memory), memory.nbytes) == (["b"], 6)


def test_what_counts_is_what_was_measured() -> None:
    """Files that promise less than they hold make others leave after the fact, and beforehand the next time."""
    memory, log = Memory(10), list[str]()
    small, liar = part(memory, "small", 6, log=log), part(memory, "liar", 8, said=1, log=log)
    for wanted in (small, liar):
        wanted()
    assert names(memory) == ["liar"]
    for wanted in (small, liar):
        wanted()
    assert log[-1] == "liar at 0"


def test_what_is_thrown_out_in_use_counts_until_its_use_ends_and_is_taken_back() -> None:
    memory, log = Memory(10), list[str]()
    denoiser, encoder = part(memory, "denoiser", 8, log=log), part(memory, "encoder", 4, log=log)
    running = denoiser()
    encoder()
    assert (names(memory), memory.nbytes) == (["encoder"], 12)
    assert denoiser() is running
    assert (names(memory), memory.nbytes, len(log)) == (["denoiser"], 8, 2)
    encoder()
    del running
    assert memory.nbytes == 4
    denoiser()
    assert log[-1] == "denoiser at 0"


def test_a_part_that_cannot_be_read_leaves_no_trace() -> None:
    memory = Memory(10)
    kept = part(memory, "kept", 4)
    kept()

    def fail() -> Value:
        raise MemoryError

    broken: Part[Value] = Part(memory, "broken", fail, lambda value: value.nbytes, nbytes=4)
    for _ in range(2):
        with pytest.raises(MemoryError):
            broken()
    assert (names(memory), memory.nbytes, broken.loaded) == (["kept"], 4, False)


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda: nn.Linear(3, 2), 4 * (6 + 2)),
        (lambda: nn.Linear(3, 2, bias=False).half(), 2 * 6),
        (lambda: nn.BatchNorm1d(2), 4 * (2 + 2 + 2 + 2) + 8),
    ],
)
def test_a_network_weighs_its_parameters_and_buffers(make: Callable[[], nn.Module], wanted: int) -> None:
    assert weight_of(make()) == wanted


def test_a_weight_that_two_layers_share_weighs_once() -> None:
    both = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    both[1].weight = both[0].weight
    assert weight_of(both) == torch.Size((4, 4)).numel() * 4


class TestLending:
    """To the CPU itself: what is lent is a copy there, too, so all but the speed is as with an accelerator."""

    @pytest.fixture
    def network(self) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).eval().requires_grad_(False)

    @staticmethod
    def places(network: nn.Module) -> list[int]:
        return [tensor.data_ptr() for tensor in (*network.parameters(), *network.buffers())]

    def test_it_computes_elsewhere_and_comes_back_to_where_it_was(self, network: nn.Module) -> None:
        x, before = torch.randn(2, 4), self.places(network)
        wanted = network(x)
        with torch.inference_mode(), lent(network, torch.device("cpu"), Memory()):
            assert not set(self.places(network)) & set(before)
            assert torch.equal(network(x), wanted)
        assert self.places(network) == before
        assert torch.equal(network(x), wanted)

    def test_it_comes_back_though_computing_failed(self, network: nn.Module) -> None:
        before = self.places(network)
        with pytest.raises(RuntimeError, match="shapes"), lent(network, torch.device("cpu"), Memory()):
            network(torch.randn(2, 5))
        assert self.places(network) == before

    def test_room_is_made_for_it_where_it_is_lent_to(self, network: nn.Module) -> None:
        memory = Memory(weight_of(network) + 4)
        for name in "ab":
            part(memory, name, 4)()
        with lent(network, torch.device("cpu"), memory):
            assert names(memory) == ["b"]

    def test_a_part_is_lent_for_each_use_and_rests_in_between(self, network: nn.Module) -> None:
        host, before = Memory(), self.places(network)
        resting: Part[nn.Module] = Part(
            host, "encoder", lambda: network, weight_of, lend=partial(lent, device=torch.device("cpu"), memory=Memory())
        )
        for _ in range(2):
            with resting.use() as used:
                assert used is network
                assert self.places(used) != before
            assert self.places(network) == before
        assert names(host) == ["encoder"]
