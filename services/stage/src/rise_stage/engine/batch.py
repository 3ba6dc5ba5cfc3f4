"""Forward passes that several jobs share.

What a row comes out as does not depend on the rows beside it, but for the order in which kernels add numbers up, which
is chosen by the shape: hence `TOLERANCE`. A job that is alone in all of its passes is bit-equal to a run without this.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final, NamedTuple, Protocol

import torch
from torch import Tensor

from rise_stage.engine.memory import is_out_of_memory, relieve

log = logging.getLogger(__name__)

TOLERANCE: Final = 1e-4
"""How far the final latent of a job in company may be from the same job's alone, in float32 and as a share of its
largest value. Measured: up to 1e-5, after 8 steps with guidance."""

Shapes = tuple[tuple[int, ...], ...]


class Network(Protocol):
    """A network whose inputs and output all have the rows as their first dimension."""

    def __call__(self, *inputs: Tensor) -> Tensor: ...

    def row_bytes(self, *inputs: Tensor) -> int:
        """The memory that a row like these takes during a pass, measured the first time it is asked for."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class Ask:
    """What a job wants to know of a network.

    Attributes:
        inputs: latents (rows, C, H, W) in the network's own form, timesteps (rows,), conditioning (rows, ...) each.
    """

    network: Network
    inputs: tuple[Tensor, ...]

    @property
    def rows(self) -> int:
        return self.inputs[0].shape[0]

    @property
    def kind(self) -> Hashable:
        """Asks of one kind may share a pass: the same network, and inputs that are alike but for the rows."""
        return id(self.network), tuple((tensor.shape[1:], tensor.dtype) for tensor in self.inputs)


class Answer(NamedTuple):
    """What the network made of an ask.

    Attributes:
        output: (rows, C, H, W).
        seconds: of the pass.
        share: the part of its rows that were this ask's, above 0 to 1.
    """

    output: Tensor
    seconds: float
    share: float


def together(kinds: Sequence[Hashable]) -> list[list[int]]:
    """The positions of each kind, in the order in which the kinds first come up."""
    found: dict[Hashable, list[int]] = {}
    for index, kind in enumerate(kinds):
        found.setdefault(kind, []).append(index)
    return list(found.values())


def packed(rows: Sequence[int], most: int | None) -> list[list[int]]:
    """Positions, in order, cut into passes of at most `most` rows. What is more than that by itself goes alone."""
    passes: list[list[int]] = []
    held = 0
    for index, count in enumerate(rows):
        if not passes or (most is not None and held + count > most):
            passes.append([])
            held = 0
        passes[-1].append(index)
        held += count
    return passes


class Batch:
    """Which asks share a pass, and the passes.

    Attributes:
        limit: bytes that a pass may take beside the weights; None is no limit.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._ceilings: dict[Hashable, int] = {}

    def passes(self, asks: Sequence[Ask]) -> list[list[int]]:
        """The positions of the asks of each pass. Every ask is in exactly one."""
        found = []
        for group in together([ask.kind for ask in asks]):
            chosen = [asks[index] for index in group]
            most = self.most_rows(chosen[0]) if len(group) > 1 else None
            found += [[group[at] for at in part] for part in packed([ask.rows for ask in chosen], most)]
        return found

    def most_rows(self, ask: Ask) -> int | None:
        """How many rows of this kind a pass may have: by measure, and fewer after it ran out of memory with them."""
        most = self._ceilings.get(ask.kind)
        if self.limit is None:
            return most
        try:
            measured = max(1, self.limit // max(1, ask.network.row_bytes(*ask.inputs)))
        except Exception:
            log.warning("what a row takes could not be measured: no two jobs share a pass", exc_info=True)
            measured = self._ceilings[ask.kind] = 1
        return measured if most is None else min(measured, most)

    def is_full(self, asks: Sequence[Ask]) -> bool:
        """Whether one more ask like the largest of these, all of one kind, would take a second pass."""
        most = self.most_rows(asks[0]) if asks else None
        rows = [ask.rows for ask in asks]
        return most is not None and sum(rows) + max(rows) > most

    def forward(self, asks: Sequence[Ask]) -> list[Answer | Exception]:
        """One pass for asks of one kind; an answer for each, or why there is none.

        A pass that fails is made again in halves, so that what is wrong with one ask, or too much for the memory
        together, costs no other its answer.
        """
        began = perf_counter()
        try:
            outputs = _pass(asks)
        except Exception as error:
            log.debug("a forward pass failed", exc_info=True)
            if len(asks) == 1 and (asks[0].rows == 1 or not is_out_of_memory(error)):
                return [error]
            self._note(asks, error)
        else:
            seconds, rows = perf_counter() - began, sum(ask.rows for ask in asks)
            return [Answer(output, seconds, ask.rows / rows) for ask, output in zip(asks, outputs, strict=True)]
        if len(asks) == 1:
            return [self._by_halves(asks[0])]
        half = len(asks) // 2
        return self.forward(asks[:half]) + self.forward(asks[half:])

    def _by_halves(self, ask: Ask) -> Answer | Exception:
        """The rows of one ask in two passes."""
        half = ask.rows // 2
        answers = []
        for rows in (slice(None, half), slice(half, None)):
            (answer,) = self.forward([Ask(ask.network, tuple(tensor[rows] for tensor in ask.inputs))])
            if isinstance(answer, Exception):
                return answer
            answers.append(answer)
        return Answer(torch.cat([answer.output for answer in answers]), sum(answer.seconds for answer in answers), 1.0)

    def _note(self, asks: Sequence[Ask], error: Exception) -> None:
        rows = sum(ask.rows for ask in asks)
        log.warning("a forward pass of %d rows is made again in halves: %s", rows, " ".join(str(error).split())[:300])
        if is_out_of_memory(error):
            self._ceilings[asks[0].kind] = max(1, rows // 2)
            relieve(asks[0].inputs[0].device)


def _pass(asks: Sequence[Ask]) -> tuple[Tensor, ...]:
    with torch.inference_mode():
        if len(asks) == 1:
            outputs: tuple[Tensor, ...] = (asks[0].network(*asks[0].inputs),)
        else:
            joined = [torch.cat(tensors) for tensors in zip(*(ask.inputs for ask in asks), strict=True)]
            outputs = asks[0].network(*joined).split([ask.rows for ask in asks])
    device = outputs[0].device
    if device.type == "cuda":
        # Kernels only queue up: without this a step that is said to be over is not, and a cancelled one goes on.
        torch.cuda.synchronize(device)
    return outputs
