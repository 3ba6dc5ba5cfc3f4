"""A cache of what can be made again: the least recently used is thrown out when not all of it fits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Sized)


class Lru(Generic[K, V]):
    """A cache bounded by the bytes of what it holds. What was asked for last always stays."""

    def __init__(self, load: Callable[[K], V], limit: int | None = None) -> None:
        self._load, self._limit = load, limit
        self._held: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V:
        """The value, loaded if need be."""
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        value = self._load(key)
        self._held[key] = value
        self._shrink()
        return value

    def __iter__(self) -> Iterator[K]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def nbytes(self) -> int:
        return sum(value.nbytes for value in self._held.values())

    def _shrink(self) -> None:
        while self._limit is not None and len(self._held) > 1 and self.nbytes > self._limit:
            self._held.popitem(last=False)
