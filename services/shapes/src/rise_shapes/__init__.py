"""The embedded family: scenes of coloured shapes, their grammar and judge, and the weights that draw them.

Everything here but `rise_shapes.training` is free of torch, so that the command line and the scheduler can ask for the
family and the judge without loading a tensor library.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from rise_contracts.manifest import load_family
from rise_contracts.resources import ModelFamily
from rise_shapes.grammar import vocabulary

__all__ = ["family", "prior_file", "vocabulary", "weights_dir"]


def weights_dir() -> Path:
    """The folder with the family's weights, a plain diffusers pipeline."""
    return Path(str(files(__name__) / "weights"))


def prior_file() -> Path:
    """What judged pictures say of the family's arms, for a scheduler to begin with; made by
    benchmarks/make_prior.py."""
    return Path(str(files(__name__) / "prior.npz"))


@cache
def family() -> ModelFamily:
    """The family's manifest."""
    return load_family((files(__name__) / "family.yaml").read_text(encoding="utf-8"))
