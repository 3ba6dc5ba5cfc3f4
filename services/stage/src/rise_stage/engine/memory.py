"""How much memory a call takes at its height, measured: what is asked of a device beside what it holds already."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import psutil
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from rise_stage.engine.groups import left_by_groups

T = TypeVar("T")


def peak_bytes(call: Callable[[], T], device: torch.device) -> tuple[T, int]:
    """What `call` gives, and the most bytes of tensors that it had alive at once."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        result = call()
        torch.cuda.synchronize(device)
        return result, torch.cuda.max_memory_allocated(device) - before
    with _Live() as live:
        result = call()
    return result, live.peak


def spare_bytes(device: torch.device | str) -> int:
    """What may be used on passes besides what is loaded: of an accelerator's free memory most, for it is ours; of the
    machine's, or of what its control groups leave, a quarter, for others live there too."""
    device = torch.device(device)
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(0.8 * (torch.cuda.mem_get_info(device)[0] + kept))
    return min(psutil.virtual_memory().available, left_by_groups()) // 4


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed; on the CPU torch says so in words only."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )


def relieve(device: torch.device) -> None:
    """Give back what the allocator holds for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


class _Live(TorchDispatchMode):
    """Adds up the storages that operations make, from their making until nobody holds them.

    An allocator that keeps no statistics is watched from outside. What one operation needs inside and lets go before
    it ends is not seen.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # What goes in and was not made here is weights, or the caller's: views of it take nothing.
        tree_map_only(Tensor, lambda tensor: self._note(tensor, made=False), (args, kwargs or {}))
        result = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, lambda tensor: self._note(tensor, made=True), result)
        return result

    def _note(self, tensor: Tensor, *, made: bool) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        nbytes = storage.nbytes() if made else 0
        self._known.add(key)
        self.now += nbytes
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, key, nbytes)

    def _release(self, key: int, nbytes: int) -> None:
        self._known.discard(key)
        self.now -= nbytes
