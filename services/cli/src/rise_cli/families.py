"""Which family is meant: the embedded one, one from a manifest, one that a running platform knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rise_contracts import codec, errors, manifest, resources, scorers, subjects
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus

EMBEDDED = "rise-shapes"


def embedded() -> resources.ModelFamily:
    """The family that comes with Rise. Raises NotFound where its weights are not installed."""
    import rise_shapes

    return rise_shapes.family()


def from_file(path: Path) -> resources.ModelFamily:
    """A family's manifest, its relative paths taken from where it lies. Raises InvalidInput, NotFound."""
    family = manifest.load_family(read_text(path), str(path))
    spec = family.spec
    members = tuple(
        member.model_copy(update={"source": _absolute(member.source, path.parent, f"member {member.name}")})
        for member in spec.members
    )
    base, tiny = (_absolute(getattr(spec, name), path.parent, name) for name in ("base", "tiny_vae"))
    update = {"base": base, "tiny_vae": tiny, "members": members}
    return family.model_copy(update={"spec": spec.model_copy(update=update)})


def find(name: str, given: Path | None) -> resources.ModelFamily:
    """The family of this name: the one in `given`, or the embedded one. Raises UnknownName."""
    if given is not None and _is_name(given):
        name = str(given)
    elif given is not None:
        return from_file(given)
    if name != EMBEDDED:
        raise errors.UnknownName("family", name, [EMBEDDED], "family")
    return embedded()


def _is_name(given: Path) -> bool:
    """Whether a family's name was typed where its manifest is meant: no folder, no suffix, no such file."""
    return given.name == str(given) and not given.suffix and not given.exists()


async def known_to(bus: Bus, name: str) -> resources.ModelFamily:
    """The family as the running platform knows it. Raises UnknownName with what it knows."""
    entries = {entry.key: entry.value for entry in await Bucket(bus, subjects.KV_FAMILIES).entries() if entry.value}
    if name not in entries:
        raise errors.UnknownName("family", name, list(entries), "family")
    return codec.decode(resources.ModelFamily, entries[name])


def scorer(text: str | None) -> str | None:
    """The scorer that `--judge` names, its folder as an absolute path. Raises InvalidInput, UnknownName, NotFound."""
    if text is None:
        return None
    chosen = scorers.parse(text)
    return str(replace(chosen, source=_weights(chosen.source)))


def scale(given: tuple[float, float] | None) -> tuple[float, float] | None:
    """What `--judge-range` says. Raises InvalidInput unless the first is the lower one."""
    if given is not None:
        try:
            scorers.Scale(*given)
        except errors.InvalidInput as error:
            raise errors.InvalidInput("--judge-range", error.wanted, error.got) from None
    return given


def _weights(source: resources.Source) -> resources.Source:
    if source.path is None:
        return source
    path = Path(source.path).expanduser().resolve()
    if not path.exists():
        raise errors.NotFound("folder", str(path), "--judge names it; put the scorer's weights there")
    return source.model_copy(update={"path": str(path)})


def read_text(path: Path) -> str:
    """A manifest's text, or one line about why it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise errors.NotFound("file", str(path), "check the path") from None
    except UnicodeDecodeError as error:
        raise errors.InvalidInput(str(path), "text in UTF-8", f"byte {error.start} that is none") from error
    except OSError as error:
        raise errors.InvalidInput(str(path), "a file that can be read", error.strerror or str(error)) from error


def _absolute(source: resources.Source | None, folder: Path, what: str) -> resources.Source | None:
    if source is None or source.path is None:
        return source
    path = (folder / Path(source.path).expanduser()).resolve()
    if not path.is_dir():
        raise errors.NotFound("folder", str(path), f"it is the source of {what}; put a diffusers model there")
    return source.model_copy(update={"path": str(path)})
