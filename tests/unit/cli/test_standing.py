"""What `rise up` tells the process that stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from rise_cli import standing
from rise_cli.local import programs
from rise_cli.local.platform import Plan
from rise_cli.local.programs import Server, Surroundings
from rise_contracts import errors

PLANS = {
    "nothing said": Plan(),
    "everything said": Plan(
        families=("rise-shapes", "/x/family.yaml"),
        edge=2,
        device=3,
        judge=True,
        threads=1,
        policy="linucb",
        scorer="clipscore:/x/clip",
        scored=0.5,
        scale=(-1.0, 30.5),
        server=Server("nats://127.0.0.1:4222", "hush"),
        port=4333,
        logs=Path("/x/logs"),
    ),
}


@pytest.mark.parametrize("case", PLANS)
def test_a_plan_arrives_as_it_was(case: str) -> None:
    assert standing._plan_from(standing._plan_text(PLANS[case])) == PLANS[case]


def test_policies_are_known() -> None:
    assert standing.known_policy(None) is None
    assert standing.known_policy("linucb") == "linucb"
    with pytest.raises(errors.UnknownName):
        standing.known_policy("random")


def test_secrets_go_by_the_environment_and_everything_else_by_flags(tmp_path: Path) -> None:
    where = Surroundings(Server("nats://127.0.0.1:4222", "hush"), tmp_path, tmp_path / "tmp")
    program = programs.worker("edge-1", "edge", where, ("a.yaml", "b.yaml"), threads=2)
    assert program.command[-10:] == (
        "--tier", "edge", "--pool", "edge", "--name", "edge-1", "--family", "a.yaml", "--family", "b.yaml",
    )  # fmt: skip
    assert {name: value for name, value in program.env.items() if value} == {
        "RISE_NATS_URL": "nats://127.0.0.1:4222",
        "RISE_NATS_TOKEN": "hush",
        "TMPDIR": str(tmp_path / "tmp"),
        "RISE_THREADS": "2",
    }
    scheduler, judge = programs.scheduler(where, "linucb"), programs.judge(where)
    assert not any("hush" in part for part in (*program.command, *scheduler.command, *judge.command))
    assert scheduler.env["RISE_POLICY"] == "linucb"


def test_no_job_needs_those_who_only_say_how_good_pictures_are(tmp_path: Path) -> None:
    where = Surroundings(Server("nats://127.0.0.1:4222"), tmp_path, tmp_path / "tmp")
    needed = [programs.scheduler(where), programs.worker("edge-1", "edge", where)]
    helpers = [programs.judge(where), programs.scorer(where, "clipscore:/x", 0.5), programs.auditor(where, 0.1)]
    assert [program.needed for program in (*needed, *helpers)] == [True, True, False, False, False]
