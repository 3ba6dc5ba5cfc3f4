"""The documents name what is there: links lead somewhere, every exit code has its line, pictures are well-formed."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from rise_contracts import errors
from tests.locks import ROOT

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", document.read_text())
    targets = {(document.parent / link).resolve() for link in links if "://" not in link}
    missing = {target.relative_to(ROOT).as_posix() for target in targets if not target.exists()}
    assert missing == set()


def test_every_reason_stands_in_the_table_under_its_exit_code() -> None:
    rows = re.findall(r"^\| (\d+) \| ([^|]*) \|", (ROOT / "docs/reference/errors.md").read_text(), re.MULTILINE)
    documented = {reason: int(code) for code, reasons in rows for reason in re.findall(r"`(\w+)`", reasons)}
    # RemoteError takes the reason and the exit code of the error it stands for.
    want = {reason: code for reason, code in errors.EXIT_CODES.items() if reason != "RemoteError"}
    assert documented == want


@pytest.mark.parametrize("picture", sorted((ROOT / "docs").rglob("*.svg")), ids=lambda path: path.name)
def test_a_drawing_is_well_formed_and_says_what_it_shows(picture: Path) -> None:
    root = ET.parse(picture).getroot()
    names = {child.tag.rpartition("}")[2] for child in root}
    assert {"title", "desc"} <= names


def test_every_decision_is_in_the_list_and_has_its_five_parts() -> None:
    listed = (ROOT / "docs/decisions/README.md").read_text()
    parts = ["Problem", "Constraints", "Decision", "Non-goals", "How we would notice we were wrong"]
    for note in sorted((ROOT / "docs/decisions").glob("2*.md")):
        assert f"({note.name})" in listed
        assert re.findall(r"^## (.+)$", note.read_text(), re.MULTILINE) == parts
