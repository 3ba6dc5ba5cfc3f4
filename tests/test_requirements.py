"""The lock files are in step with pyproject.toml: nothing declared is unlocked, nothing locked is undeclared."""

from __future__ import annotations

import re

import pytest

from tests import locks

EXTRAS = ("operator", "scheduler", "stage", "cli", "train", "dev")
FILES = (*EXTRAS, "bootstrap")
STALE = "make lock"


def text_of(extra: str) -> str:
    return (locks.ROOT / "requirements" / f"{extra}.txt").read_text()


def test_every_extra_has_its_lock_file() -> None:
    extras = locks.project()["optional-dependencies"]
    assert isinstance(extras, dict)
    assert set(EXTRAS) == set(extras), "name the new extra here, in requirements/lock and in the Makefile"


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_is_declared_is_what_is_locked(extra: str) -> None:
    want = set(locks.declared(locks.project(), extra))
    got = {pin.name for pin in locks.pins(text_of(extra)) if locks.DIRECT in pin.via}
    assert got == want, STALE


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_locked_version_is_one_that_pyproject_allows(extra: str) -> None:
    asked = locks.declared(locks.project(), extra)
    wrong = [
        f"{pin.name} {pin.version} is not {asked[pin.name].specifier}"
        for pin in locks.pins(text_of(extra))
        if pin.name in asked and not asked[pin.name].specifier.contains(pin.version, prereleases=True)
    ]
    assert wrong == [], STALE


def test_one_version_of_a_library_everywhere() -> None:
    everywhere = {pin.name: pin.version for pin in locks.pins(text_of("dev"))}
    for extra in EXTRAS:
        for pin in locks.pins(text_of(extra)):
            assert everywhere[pin.name] == pin.version, f"{pin.name} in {extra}.txt: {STALE}"


@pytest.mark.parametrize("name", FILES)
def test_every_pin_has_its_hashes(name: str) -> None:
    found = list(locks.pins(text_of(name)))
    assert found
    assert [pin.name for pin in found if not pin.hashes] == []


@pytest.mark.parametrize("name", FILES)
def test_no_lock_file_names_an_address(name: str) -> None:
    addresses = re.findall(r"\S*://\S*|^\s*--(?:index|extra-index|find-links|trusted)\S*", text_of(name), re.MULTILINE)
    assert addresses == []


def test_there_is_no_uv_lock() -> None:
    assert not (locks.ROOT / "uv.lock").exists(), "uv.lock records download addresses; requirements/*.txt do not"
