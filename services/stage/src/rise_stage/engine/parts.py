"""What of a family is in memory: its parts are read when first used, and the least recently used make room for others.

A part is what is read and thrown out as one: a denoiser, a text encoder, an autoencoder. All parts of a worker fall
under one limit, so an encoder that has done its work leaves when the denoiser wants its place.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from rise_stage.engine.allocator import give_back

T = TypeVar("T")


class Memory:
    """Parts in memory, together at most `limit` bytes (None: no limit). What was asked for last always stays.

    Room is made before a part is read, so the limit holds while reading, too. What is thrown out while somebody still
    computes with it is freed when they are done; until then it counts, and is taken back when it is asked for.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._held: OrderedDict[Part[Any], Any] = OrderedDict()
        self._leaving: dict[Part[Any], weakref.ref[Any]] = {}

    def __iter__(self) -> Iterator[Part[Any]]:
        """The parts that are held, the least recently used first."""
        return iter(self._held)

    @property
    def nbytes(self) -> int:
        """Bytes of all parts that are in memory, those that are still leaving among them."""
        self._leaving = {part: left for part, left in self._leaving.items() if left() is not None}
        return sum(part.nbytes for part in (*self._held, *self._leaving))

    def take(self, part: Part[T]) -> T:
        """The value of a part, read if need be."""
        if part in self._held:
            self._held.move_to_end(part)
        else:
            self._held[part] = self._read(part)
            self.make_room(keep=part)
        value: T = self._held[part]
        return value

    def _read(self, part: Part[T]) -> T:
        left = self._leaving.pop(part, None)
        value: T | None = None if left is None else left()
        if value is None:
            self.make_room(part.nbytes)
            value = part.read()
            part.nbytes = part.weigh(value)
        return value

    def make_room(self, coming: int = 0, keep: Part[Any] | None = None) -> None:
        """Throw out what was not used for longest, all but `keep`, until `coming` bytes more fit."""
        while self.limit is not None and self.nbytes + coming > self.limit:
            oldest = next((part for part in self._held if part is not keep), None)
            if oldest is None:
                return
            self._leaving[oldest] = weakref.ref(self._held.pop(oldest))
            give_back()


class Part(Generic[T]):
    """Weights that are read when first asked for.

    ``part()`` is the value; ``with part.use() as value`` is for computing with it.

    Attributes:
        name: among the parts of its family, such as "text_encoder_2" or "member large".
        lend: brings the value to where it can be computed with, and back afterwards.
        config: its configuration with the defaults of its class filled in; known before it is read.
        nbytes: what it weighs; until it was read once, what its files say it will.
    """

    def __init__(
        self,
        memory: Memory,
        name: str,
        read: Callable[[], T],
        weigh: Callable[[T], int],
        *,
        nbytes: int = 0,
        config: dict[str, Any] | None = None,
        lend: Callable[[T], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.memory, self.name = memory, name
        self.read, self.weigh = read, weigh
        self.nbytes, self.config, self.lend = nbytes, config or {}, lend

    def __call__(self) -> T:
        return self.memory.take(self)

    @contextmanager
    def use(self) -> Iterator[T]:
        """The value, where it can be computed with, for as long as that takes."""
        value = self()
        with self.lend(value):
            yield value

    @property
    def loaded(self) -> bool:
        return self in self.memory


@contextmanager
def lent(network: nn.Module, device: torch.device, memory: Memory) -> Iterator[None]:
    """Have a network that rests in the host's memory on `device`, where `memory` counts, while it is used.

    Afterwards its tensors are those that they were, so nothing is copied back.
    """
    tensors = [*network.parameters(), *network.buffers()]
    resting = [tensor.data for tensor in tensors]
    memory.make_room(weight_of(network))
    try:
        with torch.inference_mode(False):
            for tensor in tensors:
                tensor.data = tensor.data.to(device, copy=True)
        yield
    finally:
        for tensor, data in zip(tensors, resting, strict=True):
            tensor.data = data


def weight_of(network: nn.Module) -> int:
    """The bytes of a network's parameters and buffers."""
    return sum(tensor.numel() * tensor.element_size() for tensor in (*network.parameters(), *network.buffers()))
