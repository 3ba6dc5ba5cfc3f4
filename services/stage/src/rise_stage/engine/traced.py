"""A network as a graph: the same arithmetic, bit for bit, without Python between two operations.

For a small network on a CPU the interpreter takes a third to a half of a step, and for one of 0.2 billion weights
a twentieth. A graph holds for the shapes that it
was made with, so it is made for those that come often, and everything else runs as it is.
"""

from __future__ import annotations

import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

OFTEN = 60
"""Calls with one set of shapes after which a graph is worth its second of tracing."""
MOST_GRAPHS = 16
"""As many as there are batches of up to eight jobs, with guidance and without."""
LARGEST_BYTES = 2 * 2**30
"""Weights above which the interpreter's share, a twentieth of a step at 0.8 GiB, is too small to matter."""

Shapes = tuple[tuple[int, ...], ...]


class Traced:
    """`call`, a function of tensors that uses `network`, as a graph wherever that is quicker."""

    def __init__(self, network: nn.Module, call: Callable[..., Tensor], *, enabled: bool) -> None:
        self._network, self._call, self._enabled = network, call, enabled
        self._graphs: OrderedDict[Shapes, Callable[..., Tensor]] = OrderedDict()
        self._calls: Counter[Shapes] = Counter()

    def __call__(self, *inputs: Tensor) -> Tensor:
        if not self._enabled:
            return self._call(*inputs)
        shapes = tuple(tuple(tensor.shape) for tensor in inputs)
        graph = self._graphs.get(shapes)
        if graph is not None:
            self._graphs.move_to_end(shapes)
            return graph(*inputs)
        self._calls[shapes] += 1
        if self._calls[shapes] > OFTEN:
            self.trace(*inputs)
        return self._call(*inputs)

    def plain(self, *inputs: Tensor) -> Tensor:
        """Without a graph, whose operations nobody can watch."""
        return self._call(*inputs)

    def trace(self, *inputs: Tensor) -> None:
        """Make the graph for inputs of these shapes now. Where torch cannot, calls stay as they are."""
        shapes = tuple(tuple(tensor.shape) for tensor in inputs)
        if not self._enabled or shapes in self._graphs:
            return
        try:
            self._graphs[shapes] = _freeze(self._network, self._call, inputs)
        except (RuntimeError, TypeError, NotImplementedError):
            self._enabled = False
        while len(self._graphs) > MOST_GRAPHS:
            # It has to come often again, or shapes that take turns would each be traced at every turn.
            shapes, _ = self._graphs.popitem(last=False)
            self._calls[shapes] = 0


class _Call(nn.Module):
    """`call` as a module, for the tracer takes weights from modules only."""

    def __init__(self, network: nn.Module, call: Callable[..., Tensor]) -> None:
        super().__init__()
        self.network = network
        self.call = call

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.call(*inputs)


def _freeze(network: nn.Module, call: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> Callable[..., Tensor]:
    # Inference tensors may not be kept in a graph; copies made outside of that mode may.
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        # Shapes become constants, which is the point, and every one of them is worth a warning to the tracer.
        warnings.simplefilter("ignore")
        examples = tuple(tensor.clone() for tensor in inputs)
        module = _Call(network, call).eval()
        graph: Any = torch.jit.freeze(torch.jit.trace(module, examples, check_trace=False))
        return graph  # type: ignore[no-any-return]


def worthwhile(device: torch.device, nbytes: int) -> bool:
    return device.type == "cpu" and nbytes <= LARGEST_BYTES
