"""Which class serves which `architecture` of a manifest."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final

from rise_contracts.errors import UnknownName
from rise_stage.engine.families.base import Family, Shared

ARCHITECTURES: Final = {
    "sd": "sd.StableDiffusion",
    "sdxl": "sdxl.StableDiffusionXL",
    "pixart": "pixart.PixArt",
    "sd3": "sd3.StableDiffusion3",
    "flux": "flux.Flux",
    "flux2": "flux2.Flux2",
    "sana": "sana.Sana",
    "wan": "wan.Wan",
}
"""Module in this folder and class. By name, since each module imports libraries that the others may do without."""


def family_class(architecture: str) -> Callable[[Shared], Family]:
    """Import the class of an architecture. Raises UnknownName."""
    if architecture not in ARCHITECTURES:
        raise UnknownName("architecture", architecture, tuple(ARCHITECTURES))
    module, _, name = ARCHITECTURES[architecture].partition(".")
    found: Callable[[Shared], Family] = getattr(import_module(f"rise_stage.engine.families.{module}"), name)
    return found
