"""What a call takes at its height, and what there is."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from rise_stage.engine.memory import is_out_of_memory, peak_bytes, spare_bytes

CPU = torch.device("cpu")
FLOAT = 4


def test_what_is_alive_together_counts_and_what_is_gone_does_not() -> None:
    weights = torch.ones(1000)

    def call() -> torch.Tensor:
        first = weights + 1
        second = first * 2
        del first
        third = second.view(10, 100).t() - 1
        del second
        return third + 1

    result, peak = peak_bytes(call, CPU)
    assert result.shape == (100, 10)
    assert peak == 2 * 1000 * FLOAT


def test_weights_inputs_and_views_of_them_take_nothing() -> None:
    weights = torch.ones(10, 10)
    _, peak = peak_bytes(lambda: weights.t()[:5].reshape(-1, 2) if weights.ndim else weights, CPU)
    assert peak == 50 * FLOAT
    assert peak_bytes(lambda: weights.t()[:5], CPU)[1] == 0


@pytest.mark.parametrize("rows", [1, 5])
def test_it_agrees_with_the_profiler(rows: int) -> None:
    torch.manual_seed(0)
    layers = (nn.Linear(16, 64), nn.LayerNorm(64), nn.GELU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 16))
    network = nn.Sequential(*layers).eval().requires_grad_(False)
    x = torch.randn(rows, 20, 16)
    with torch.inference_mode():
        network(x)
        _, found = peak_bytes(lambda: network(x), CPU)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            network(x)
    held = wanted = 0
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            wanted = max(wanted, held)
    assert found == pytest.approx(wanted, rel=0.05)


def test_running_out_is_known_by_its_kind_or_its_words() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("DefaultCPUAllocator"))


def test_a_quarter_of_what_the_machine_has_free() -> None:
    assert 0 < spare_bytes("cpu") < sys.maxsize // 4
