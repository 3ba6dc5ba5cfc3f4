"""Import the model libraries without what they bring along for others: half of a worker's start is imports.

Importing one UNet class of diffusers runs the package of every transformer it knows, torch's compiler (for
decorators that mean nothing outside of it), and scipy and peft where they are installed. For the moment of the import
these are stood in for: the compiler by decorators that return what they decorate, packages by ones without their
``__init__``, optional libraries by their absence. Afterwards all of it can be imported as ever.

This leans on how two libraries are laid out, so it must never be needed: if anything goes wrong, what was half
imported is forgotten and imported again in the plain way.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

log = logging.getLogger(__name__)

ABSENT = ("peft", "scipy")
COMPILER = "torch._dynamo"
BARE = ("diffusers.models.transformers", "diffusers.models.unets", "diffusers.models.autoencoders")
LIBRARIES = ("diffusers", "transformers")


def preload(engine: str = "rise_stage.engine.engine") -> None:
    """Import the engine, quickly if that works. Call it before anything else imports diffusers."""
    before = set(sys.modules)
    if any(name in before for name in LIBRARIES):
        importlib.import_module(engine)
        return
    try:
        with lean():
            importlib.import_module(engine)
            _touch_meta()
    except (ImportError, AttributeError, TypeError, RuntimeError) as error:
        log.info("model libraries are imported in the plain way: %s", " ".join(str(error).split())[:200])
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in (*LIBRARIES, "rise_stage"):
                del sys.modules[name]
        importlib.import_module(engine)


def _touch_meta() -> None:
    """Make what loading weights makes: the first random number on the meta device imports the compiler, too."""
    from torch import nn

    nn.Embedding(1, 1, device="meta")
    nn.Linear(1, 1, device="meta")
    nn.Conv2d(1, 1, 1, device="meta")
    nn.LayerNorm(1, device="meta")


@contextmanager
def lean() -> Iterator[None]:
    """The stand-ins are there inside the block and gone after it."""
    import torch

    stood_in: dict[str, Any] = {name: None for name in ABSENT if name not in sys.modules}
    if COMPILER not in sys.modules:
        stood_in[COMPILER] = _Decorators(COMPILER, Path(torch.__file__).parent / "_dynamo")
    folder = Path(_origin("diffusers")).parent
    for name in BARE:
        stood_in[name] = _package(ModuleType(name), folder.joinpath(*name.split(".")[1:]))
    sys.modules.update(stood_in)
    try:
        yield
    finally:
        for name, module in stood_in.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
            # In the dictionary, for asking torch for its compiler imports it.
            parent, _, child = name.rpartition(".")
            if parent in sys.modules and vars(sys.modules[parent]).get(child) is module:
                delattr(sys.modules[parent], child)


class _Decorators(ModuleType):
    """torch's compiler where nothing is compiled: whatever it is asked for is a decorator without effect."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        _package(self, folder)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return _unchanged


def _unchanged(function: Any = None, *_: Any, **__: Any) -> Any:
    return (lambda decorated: decorated) if function is None else function


def _package(module: ModuleType, folder: Path) -> ModuleType:
    """Make `module` a package whose submodules can be imported from `folder`."""
    module.__path__ = [str(folder)]
    module.__spec__ = ModuleSpec(module.__name__, None, is_package=True)
    return module


def _origin(name: str) -> str:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ImportError(f"{name} is not installed")
    return spec.origin
