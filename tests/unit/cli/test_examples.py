"""The examples are manifests that can be taken as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from rise_cli import arms, requests
from rise_cli.requests import Wishes
from rise_contracts import manifest, resources

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_valid(path: Path, family: resources.ModelFamily) -> None:
    for found in manifest.load(path.read_text(), path.name):
        if isinstance(found, resources.RelayJob):
            assert requests.build(Wishes(), found, family).spec.prompt == found.spec.prompt
        elif isinstance(found, resources.ModelFamily):
            assert len(arms.comparison(found)) >= 3
        else:
            assert found.spec.tier in ("edge", "device")


def test_there_are_examples() -> None:
    assert "relayjob.yaml" in [path.name for path in EXAMPLES]
