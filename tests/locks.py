"""Read pyproject.toml and the lock files, to hold one against the other without a network."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
DIRECT = "rise-relay (pyproject.toml)"


@dataclass(frozen=True)
class Pin:
    """One locked version, and who asked for it."""

    name: str
    version: Version
    hashes: tuple[str, ...]
    via: tuple[str, ...]


def project() -> Mapping[str, object]:
    """The [project] table."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert isinstance(table, dict)
    return table


def declared(table: Mapping[str, object], extra: str) -> dict[str, Requirement]:
    """What an extra asks for by canonical name, the plain dependencies and the extras it names of ours included.

    "plain" stands for the dependencies of every process alone.
    """
    extras = table["optional-dependencies"]
    plain = table["dependencies"]
    assert isinstance(extras, dict)
    assert isinstance(plain, list)
    found: dict[str, Requirement] = {}
    waiting, seen = ([] if extra == "plain" else [extra]), {extra}
    texts = list(plain)
    while waiting:
        for text in extras[waiting.pop()]:
            asked = Requirement(text)
            if canonicalize_name(asked.name) != table["name"]:
                texts.append(text)
                continue
            waiting += sorted(asked.extras - seen)
            seen |= asked.extras
    for text in texts:
        asked = Requirement(text)
        found[canonicalize_name(asked.name)] = asked
    return found


def pins(text: str) -> Iterator[Pin]:
    """The locked versions in a file as uv writes it: a name with its version, hashes, then who asked."""
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        head = re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", block)
        if head is None:
            continue
        _, _, asked = block.partition("# via")
        yield Pin(
            name=canonicalize_name(head[1]),
            version=Version(head[2]),
            hashes=tuple(re.findall(r"--hash=(sha256:[0-9a-f]{64})", block)),
            via=tuple(line.strip("# \t") for line in asked.splitlines() if line.strip("# \t")),
        )
