"""How large the files of a model folder may be that are read whole. Who brings a folder may not fill a worker's memory
with it: what is parsed takes twenty times its size and more, before anybody has looked at it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from rise_contracts.errors import InvalidInput

CONFIG_BYTES: Final = 4 * 2**20
"""Configurations, and what says in which file of a large model a tensor is."""
WORDS_BYTES: Final = 64 * 2**20
"""What a tokenizer is made of: the largest known has 32 MiB."""
HEADER_BYTES: Final = 16 * 2**20
"""What a safetensors file says of its tensors, some hundred bytes of each. The library takes 100 MB, at 1.4 GiB."""

_READ_WHOLE: Final = (".json", ".txt", ".model", ".jinja")
_LENGTH: Final = 8
"""Bytes in which a safetensors file says how long its header is, the least first."""


def check_folder(folder: Path) -> None:
    """Raises InvalidInput for a file of the folder that is too large, or of which no reading would end."""
    for path in sorted(folder.iterdir()):
        if path.suffix == ".safetensors":
            _check_header(path)
        elif path.suffix in _READ_WHOLE:
            check_file(path, CONFIG_BYTES if _is_config(path.name) else WORDS_BYTES)


def check_file(path: Path, limit: int = CONFIG_BYTES) -> None:
    """Raises InvalidInput where the file has more than `limit` bytes, or is a device, say. OSError where it is not
    there."""
    size = _size(path)
    if size > limit:
        raise _too_large(path, f"at most {limit >> 20} MiB", size)


def _check_header(path: Path) -> None:
    size = _size(path)
    if size <= HEADER_BYTES:
        return
    with path.open("rb") as file:
        header = int.from_bytes(file.read(_LENGTH), "little")
    if HEADER_BYTES < header < size:  # one beyond the end is none, and the library says so
        raise _too_large(path, f"a header of at most {HEADER_BYTES >> 20} MiB", header)


def _size(path: Path) -> int:
    found = path.stat()
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise InvalidInput(path.name, f"a file at {path}", stat.filemode(found.st_mode), "is the folder whole?")
    return found.st_size


def _is_config(name: str) -> bool:
    return name.endswith("config.json") or name == "model_index.json" or ".safetensors.index." in name


def _too_large(path: Path, wanted: str, nbytes: int) -> InvalidInput:
    return InvalidInput(path.name, f"{wanted} at {path}", f"{nbytes} bytes", "no real model has as much; fetch it anew")
