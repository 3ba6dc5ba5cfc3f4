"""Families by name or path, as resources whose sources can be found from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rise_shapes
from rise_contracts import manifest
from rise_contracts.errors import InvalidInput, UnknownName
from rise_contracts.resources import ModelFamily, Source
from rise_stage.settings import EMBEDDED

BUS = "bus:"
"""Before the name of a family that somebody else makes known: an operator, say, whose users edit it."""


def read_family(name: str) -> ModelFamily:
    """The family `name`: a built-in one, or the path of a manifest. Raises InvalidInput."""
    if name == EMBEDDED:
        return rise_shapes.family()
    path = Path(name).expanduser()
    if path.name == name and not path.suffix:
        raise UnknownName("family", name, (EMBEDDED, f"{BUS}{name}"), "--family")
    return read_manifest(path)


def read_manifest(path: Path) -> ModelFamily:
    """The one ModelFamily in a file; relative paths in it are taken from the file's folder."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("--family", "a ModelFamily manifest that can be read", str(path), str(error)) from error
    return _rooted(manifest.load_family(text, str(path)), path.resolve().parent)


def _rooted(family: ModelFamily, folder: Path) -> ModelFamily:
    members = tuple(
        member.model_copy(update={"source": _rooted_source(member.source, folder)}) for member in family.spec.members
    )
    sources = {name: _rooted_source(getattr(family.spec, name), folder) for name in ("base", "tiny_vae")}
    update: dict[str, Any] = {**sources, "members": members}
    return family.model_copy(update={"spec": family.spec.model_copy(update=update)})


def _rooted_source(source: Source | None, folder: Path) -> Source | None:
    if source is None or source.path is None:
        return source
    return source.model_copy(update={"path": str(folder / Path(source.path).expanduser())})
