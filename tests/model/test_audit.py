"""Audits of the embedded family: `rise up --audit` with real workers, and what the figure is worth on real pictures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import rise_shapes
from benchmarks._front import Studio, held_out
from rise_cli import fidelity
from rise_stage.engine import Engine
from tests.bus import cli
from tests.rings import lacks_nats_server

PROMPT = "a large red circle above a small blue square"
RELAY, SMALL, BASE = "large:8@2.5+finisher:6", "small:8", "large:24"
PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cli.Home]:
    """A platform that is up and audits every job of the embedded family."""
    if lacking := lacks_nats_server():
        pytest.skip(lacking)
    place = cli.Home(tmp_path_factory.mktemp("audited"))
    del place.environment["RISE_WORKER_COMMAND"]
    up = place.rise("up", "--audit", "1", "--threads", "1", "--json")
    try:
        assert up.code == 0, up.err
        yield place
    finally:
        assert place.rise("down").code == 0
    place.assert_clean()


def run(home: cli.Home, arm: str) -> bytes:
    """The picture that a user gets of this arm."""
    told = home.rise("run", PROMPT, "--seed", "7", "--fixed", arm, "--out", str(home.out), "--json").json()
    return Path(told["runs"][0]["pictures"][0]["path"]).read_bytes()


def audits(home: cli.Home, count: int) -> dict[str, dict[str, Any]]:
    """What `rise policy` says of the arms, once so many are audited."""
    give_up = time.monotonic() + PATIENCE_S
    while len(found := home.rise("policy", "--json").json()["audits"]) < count:
        assert time.monotonic() < give_up, f"{len(found)} audits, wanted {count}"
    return {each["arm"]: each for each in found}


def test_the_audit_is_of_the_picture_that_the_base_member_makes_for_a_user(home: cli.Home) -> None:
    relayed, small, base = run(home, RELAY), run(home, SMALL), run(home, BASE)
    found = audits(home, 2)
    assert set(found) == {RELAY, SMALL}
    for arm, picture in ((RELAY, relayed), (SMALL, small)):
        assert (found[arm]["family"], found[arm]["base_arm"], found[arm]["n"]) == ("rise-shapes", BASE, 1)
        # In the same words from the same noise: had the seed or the guidance been another, this were far off.
        (wanted,) = fidelity.of_files([picture], [base])
        assert found[arm]["mean"] == pytest.approx(wanted, abs=1e-3)
    assert found[RELAY]["mean"] > found[SMALL]["mean"] + 0.02
    shown = home.rise("policy").out
    assert "HELD AGAINST" in shown
    users = {record["request"]["job_id"] for record in home.rise("get", "--json").json()}
    assert len(users) == 3  # no audit is among them


@pytest.fixture(scope="module")
def pictures() -> dict[str, list[fidelity.Array]]:
    """Eight held-out prompts by arms that are known to be good and bad, and by the base member."""
    engine = Engine.load(rise_shapes.family(), ["large", "small", "finisher"])
    studio = Studio(engine, held_out(8))
    return {arm: [_floats(made) for _, made in studio.pictures(arm)] for arm in (BASE, "large:12", RELAY, SMALL)}


def _floats(picture: torch.Tensor) -> fidelity.Array:
    return picture.numpy().astype(float)


def test_arms_that_are_right_more_often_are_nearer_to_the_base_member(
    pictures: dict[str, list[fidelity.Array]],
) -> None:
    def mean(arm: str) -> float:
        pairs = zip(pictures[arm], pictures[BASE], strict=True)
        return sum(fidelity.of_pixels(ours, theirs) for ours, theirs in pairs) / len(pictures[BASE])

    assert mean(BASE) == pytest.approx(1.0)
    assert mean("large:12") > 0.9 and mean(RELAY) > 0.9
    assert mean(SMALL) < 0.8
