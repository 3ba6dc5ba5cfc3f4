"""Every example is a manifest that Rise takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rise_contracts import manifest
from tests.locks import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def test_the_example_that_make_run_draws_is_one_relay_job() -> None:
    job = manifest.load_job((ROOT / "examples" / "relayjob.yaml").read_text())
    assert job.spec.family == "rise-shapes"
    assert job.spec.seed is not None, "the first picture is the same for everyone"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_valid(example: Path) -> None:
    assert manifest.load(example.read_text(), example.name)
