"""Read one component of a diffusers folder, from safetensors only, with errors that name the missing part."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from rise_contracts.errors import InvalidInput
from rise_stage.engine.families.sizes import check_file, check_folder

UNET_WEIGHTS = "diffusion_pytorch_model"
TEXT_WEIGHTS = "model"
SCHEDULER_FILE = "scheduler/scheduler_config.json"
FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
"""What is read as the dtype that is asked for; whole numbers stay what they are."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises InvalidInput where the file is missing, unreadable, too large or no object."""
    try:
        check_file(path)
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InvalidInput(path.name, f"a readable JSON file at {path}", _why(error)) from error
    if not isinstance(value, dict):
        raise InvalidInput(path.name, f"a JSON object at {path}", type(value).__name__)
    return value


def network_config(kind: Any, folder: Path, subfolder: str) -> dict[str, Any]:
    """The configuration of a diffusers model, with the defaults of `kind` for what the file leaves out."""
    given = read_json(folder / subfolder / "config.json")
    known = inspect.signature(kind.__init__).parameters.values()
    return {p.name: p.default for p in known if p.default is not p.empty} | given


def text_config(kind: Any, folder: Path, subfolder: str) -> dict[str, Any]:
    """The configuration of a transformers model; its files leave out whatever is a default."""
    read_json(folder / subfolder / "config.json")
    try:
        config = kind.config_class.from_pretrained(folder, subfolder=subfolder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _broken(folder / subfolder, error) from error
    return dict(config.to_dict())


def weight_files(folder: Path, subfolder: str, stem: str, variant: str | None) -> tuple[Path, ...]:
    """The safetensors files of a component: one, or those that its index names. Raises InvalidInput without them."""
    _check_files(folder, subfolder, stem, variant)
    dotted = f".{variant}" if variant else ""
    whole, index = (folder / subfolder / f"{stem}{end}" for end in (f"{dotted}.safetensors", _index(dotted)))
    if not index.is_file():
        return (whole,)
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise InvalidInput(index.name, "a weight_map that names files", shards)
    return tuple(folder / subfolder / str(name) for name in sorted(set(shards.values())))


def weight_bytes(files: Sequence[Path], dtype: torch.dtype) -> int:
    """What the tensors of safetensors files will weigh as `dtype`, by the headers alone.

    Raises InvalidInput for a file that is missing or was cut short.
    """
    total = 0
    for path in files:
        try:
            with safe_open(path, "pt") as file:
                for name in sorted(file.keys()):
                    part = file.get_slice(name)
                    size = dtype.itemsize if part.get_dtype() in FLOATS else 8
                    total += math.prod(part.get_shape()) * size
        except (OSError, SafetensorError) as error:
            raise _broken(path, error) from error
    return total


def read_network(kind: Any, folder: Path, subfolder: str, variant: str | None, dtype: torch.dtype) -> Any:
    """A diffusers model in evaluation mode. Raises InvalidInput where the folder does not hold a whole one."""
    _check_files(folder, subfolder, UNET_WEIGHTS, variant)
    try:
        model, info = kind.from_pretrained(
            folder,
            subfolder=subfolder,
            variant=variant,
            torch_dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise _broken(folder / subfolder, error) from error
    _check_whole(folder / subfolder, info)
    return model.eval().requires_grad_(False)


def read_tensors(folder: Path, subfolder: str, names: Sequence[str]) -> dict[str, Tensor]:
    """Some of the weights of a diffusers model, without the rest. Raises InvalidInput where one is not there."""
    _check_folder(folder, subfolder)
    found: dict[str, Tensor] = {}
    for path in sorted((folder / subfolder).glob(f"{UNET_WEIGHTS}*.safetensors")):
        try:
            with safe_open(path, "pt") as opened:
                present = set(opened.keys())
                found |= {name: opened.get_tensor(name) for name in names if name in present and name not in found}
        except (OSError, SafetensorError) as error:
            raise _broken(path, error) from error
    missing = [name for name in names if name not in found]
    if missing:
        raise InvalidInput(subfolder, f"{', '.join(missing)} in {folder / subfolder}", "none", "is the folder whole?")
    return found


def read_text_encoder(kind: Any, folder: Path, subfolder: str, variant: str | None, dtype: torch.dtype) -> Any:
    """A transformers model in evaluation mode, as `read_network`."""
    _check_files(folder, subfolder, TEXT_WEIGHTS, variant)
    try:
        model, info = kind.from_pretrained(
            folder,
            subfolder=subfolder,
            variant=variant,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise _broken(folder / subfolder, error) from error
    _check_whole(folder / subfolder, info)
    return model.eval().requires_grad_(False)


def read_tokenizer(kind: Any, folder: Path, subfolder: str) -> Any:
    _check_folder(folder, subfolder)
    try:
        return kind.from_pretrained(folder, subfolder=subfolder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _broken(folder / subfolder, error) from error


def _check_folder(folder: Path, subfolder: str) -> None:
    if not (folder / subfolder).is_dir():
        found = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        raise InvalidInput(subfolder, f"a folder {subfolder!r} in {folder}", found, "is this a whole diffusers folder?")
    try:
        check_folder(folder / subfolder)
    except OSError as error:  # a link to nowhere
        raise _broken(folder / subfolder, error) from error


def _check_files(folder: Path, subfolder: str, stem: str, variant: str | None) -> None:
    _check_folder(folder, subfolder)
    read_json(folder / subfolder / "config.json")
    dotted = f".{variant}" if variant else ""
    wanted = f"{stem}{dotted}.safetensors"
    names = {entry.name for entry in (folder / subfolder).iterdir()}
    if wanted in names or f"{stem}{_index(dotted)}" in names:
        return
    hint = "weights that are not safetensors are not read; convert them" if any(".bin" in n for n in names) else ""
    raise InvalidInput(subfolder, f"{wanted} in {folder / subfolder}", sorted(names), hint)


def _index(dotted: str) -> str:
    return f".safetensors.index{dotted}.json"


def _check_whole(path: Path, info: dict[str, Any]) -> None:
    """A model with weights left out would be filled with random numbers: refuse it."""
    for fault in ("missing_keys", "mismatched_keys"):
        names = sorted(str(name) for name in info.get(fault, ()) if "position_ids" not in str(name))
        if names:
            raise InvalidInput(path.name, f"all weights in {path}", f"{len(names)} {fault}, first {names[0]}")


def _broken(path: Path, error: Exception) -> InvalidInput:
    return InvalidInput(path.name, f"a component that loads from {path}", _why(error), "is the folder whole?")


def _why(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
