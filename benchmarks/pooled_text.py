"""`python -m benchmarks.pooled_text`: does the pooled text embedding foretell quality better than counts of words?

The pictures of benchmarks/data/shapes-arms.csv.gz, each with the features that the composed policy has of its arm and
prompt; beside these the mean of the embedded family's text states over the prompt's words, as its first principal
components, alone and times how long the arm computes. Ridge regressions are fitted on seven eighths of the prompts and
judged on the prompts that are left out, for what a scheduler is asked are prompts that it has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

import rise_shapes
from benchmarks._measured import load
from benchmarks.make_prior import arm_of, known
from rise_contracts.resources import ModelFamily
from rise_scheduler.posterior import Array
from rise_stage.engine import Engine

FOLDS: Final = 8
COMPONENTS: Final = (2, 4, 8, 16, 32)
PENALTIES: Final = (1.0, 10.0, 100.0)
"""Each design may have the one that serves it best."""


def main() -> None:
    """Print the mean squared error of every design."""
    family, rows = rise_shapes.family(), load()
    texts = sorted({row.prompt for row in rows})
    x, y = known(rows, family)
    prompt = np.array([texts.index(row.prompt) for row in rows])
    states = components(pooled(texts, family))
    effort = 1.0 - np.exp(-0.2 * np.array([sum(part.steps for part in arm_of(row.arm, family).parts) for row in rows]))
    print(f"{len(rows)} pictures, {len(texts)} prompts, {x.shape[1]} features: {error(x, y, prompt):.4f}")
    for count in COMPONENTS:
        added = states[prompt, :count]
        alone = error(np.hstack([x, added]), y, prompt)
        crossed = error(np.hstack([x, added, added * effort[:, None]]), y, prompt)
        print(f"with {count:2d} components of the text: {alone:.4f}, times effort too: {crossed:.4f}")


def pooled(texts: Sequence[str], family: ModelFamily) -> Array:
    """The mean of the text states over each prompt's words, (prompts, width)."""
    torch.set_num_threads(1)
    engine = Engine.load(family, ["large"])
    found = []
    for text in texts:
        told = engine.encode([text])
        mask = torch.ones(told.hidden.shape[:2]) if told.mask is None else told.mask
        # With guidance the prompt's own row is the last.
        weights = mask[-1].float()[:, None]
        found.append((told.hidden[-1].float() * weights).sum(0) / weights.sum())
    return torch.stack(found).numpy().astype(np.float64)


def components(states: Array) -> Array:
    """The principal components of ``states`` (N, d), the first first, each with variance 1."""
    left, _, _ = np.linalg.svd(states - states.mean(0), full_matrices=False)
    scaled: Array = left * np.sqrt(len(states))
    return scaled


def error(x: Array, y: Array, group: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    """Mean squared error of ridge regressions on groups left out, with the best of PENALTIES."""
    return min(_error(x, y, group % FOLDS, penalty) for penalty in PENALTIES)


def _error(x: Array, y: Array, fold: np.ndarray[tuple[int], np.dtype[np.int64]], penalty: float) -> float:
    squares = []
    for out in range(FOLDS):
        seen = fold != out
        weights = np.linalg.solve(x[seen].T @ x[seen] + penalty * np.eye(x.shape[1]), x[seen].T @ y[seen])
        squares.append((y[~seen] - x[~seen] @ weights) ** 2)
    return float(np.concatenate(squares).mean())


if __name__ == "__main__":
    main()
