"""What is said of ModelFamilies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rise_contracts.status import ModelFamilyStatus
from rise_operator import seen
from rise_operator.families.plan import ObservedFamily, family_status
from rise_operator.seen import Trouble
from tests.unit.operator import builders as make
from tests.unit.operator.builders import NOW


def world(*, published: bool = True, **changes: Any) -> ObservedFamily:
    return replace(ObservedFamily(seen.family(make.family_body()), NOW, published=published), **changes)


def said(observed: ObservedFamily) -> dict[str, tuple[str, str, str]]:
    conditions = family_status(observed).conditions
    return {condition.type: (condition.status, condition.reason, condition.message) for condition in conditions}


def test_one_that_the_bus_knows_is_accepted() -> None:
    assert said(world())["Accepted"] == ("True", "Accepted", "")


@pytest.mark.parametrize(
    ("bus", "message"), [("no server answers", "no server answers"), ("", "it is being made known")]
)
def test_one_that_it_does_not_know_says_why(bus: str, message: str) -> None:
    assert said(world(published=False, bus=bus))["Accepted"] == ("False", "BusUnavailable", message)


def test_one_that_makes_no_sense_is_refused_with_the_place() -> None:
    broken = seen.family(make.family_body(members=[{"name": "large"}, {"name": "large"}]))
    status, reason, message = said(world(published=False, seen=broken))["Accepted"]
    assert (status, reason) == ("False", "InvalidSpec")
    assert "member names must differ" in message
    assert family_status(world(seen=broken)).members == ()


def test_it_is_ready_when_some_worker_holds_a_member() -> None:
    workers = (make.beat("edge-1"), make.beat("edge-2"), make.beat("device-1", members=("small", "other")))
    observed = world(workers=workers)
    assert said(observed)["Ready"] == ("True", "Loaded", "large on 2, small on 1")
    assert [(member.name, member.workers) for member in family_status(observed).members] == [("large", 2), ("small", 1)]


def test_without_workers_it_asks_for_a_pool() -> None:
    assert said(world())["Ready"] == ("False", "NotLoaded", "no worker holds a member of it; is there a StagePool?")


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        (Trouble("Failing", "member a: wanted …", "LatentsDiffer"), "LatentsDiffer"),
        (Trouble("Failing", "no such file: base", "InvalidInput"), "NotLoaded"),
        (Trouble("Failing", "the latents differ, as somebody says", ""), "NotLoaded"),
    ],
)
def test_what_a_worker_died_of_is_told(failing: Trouble, reason: str) -> None:
    assert said(world(failing=failing))["Ready"] == ("False", reason, failing.text)
    held = world(failing=failing, workers=(make.beat("edge-1"),))
    assert said(held)["Ready"][1] == "Loaded", "another worker has it all the same"


def test_the_same_seen_again_is_no_news_and_of_its_generation() -> None:
    body = make.family_body(metadata=make.meta("tiny", namespace="", generation=4))
    status = family_status(world(seen=seen.family(body)))
    assert {condition.observed_generation for condition in status.conditions} == {4}
    written = {**body, "status": status.model_dump(mode="json", by_alias=True)}
    assert family_status(world(seen=seen.family(written), now=NOW + 60)) == status
    assert ModelFamilyStatus.model_validate(status.model_dump(by_alias=True)) == status
