"""Where weights lie: a `Source` of a manifest as a local folder. The only place that may use the network."""

from __future__ import annotations

from pathlib import Path

from rise_contracts.errors import InvalidInput, UnknownName
from rise_contracts.resources import Source

BUILTIN = "rise-shapes"
WANTED_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja")
"""What is fetched from a hub: never a pickle."""


def locate(source: Source, field: str = "base") -> Path:
    """The folder that `source` stands for. Raises InvalidInput where there is none."""
    if source.builtin is not None:
        return _builtin(source.builtin)
    if source.path is not None:
        return _folder(Path(source.path).expanduser(), field)
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
