"""Where weights lie: a `Source` of a manifest as a local folder. The only place that may use the network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rise_contracts.errors import InvalidInput, UnknownName
from rise_contracts.resources import Source

BUILTIN = "rise-shapes"
MODELS = "RISE_MODELS"
WANTED_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja")
"""What is fetched from a hub: never a pickle."""


def locate(source: Source, field: str = "base", environment: Mapping[str, str] = os.environ) -> Path:
    """The folder that `source` stands for. Raises InvalidInput where there is none.

    Where RISE_MODELS names a folder, as in a pod that of its volume, a path that leads out of it is refused, by
    whatever way: what a manifest names is not the worker's own business.
    """
    if source.builtin is not None:
        return _builtin(source.builtin)
    if source.path is not None:
        path = _folder(Path(source.path).expanduser(), field)
        return _within(environment[MODELS], path, field) if environment.get(MODELS) else path
    return _snapshot(source, field)


def _builtin(name: str) -> Path:
    if name != BUILTIN:
        raise UnknownName("built-in family", name, (BUILTIN,))
    from rise_shapes import weights_dir

    return _folder(weights_dir(), "builtin")


def _folder(path: Path, field: str) -> Path:
    if not path.is_dir():
        raise InvalidInput(field, "a folder in diffusers layout", str(path), "check the path in the family's manifest")
    return path


def _within(root: str, path: Path, field: str) -> Path:
    if not path.resolve().is_relative_to(Path(root).resolve()):
        raise InvalidInput(
            field, f"a folder inside {root} ({MODELS})", str(path), "put the weights on the model volume"
        )
    return path


def _snapshot(source: Source, field: str) -> Path:
    """A hub repository in the local cache; taken from there when the network is away."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    hub = source.hub or ""
    try:
        return Path(snapshot_download(hub, revision=source.revision, allow_patterns=list(WANTED_FILES)))
    except RepositoryNotFoundError as error:
        hint = "check the id; a gated repository needs an accepted licence and a token"
        raise InvalidInput(field, "a model repository that can be read", hub, hint) from error
    except LocalEntryNotFoundError as error:
        hint = "connect once, or use a path to a local copy"
        raise InvalidInput(field, "a hub that answers, or a copy in the cache", hub, hint) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise InvalidInput(field, "a model repository that can be fetched", hub, _first_line(error)) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
