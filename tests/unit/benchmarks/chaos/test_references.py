"""What the picture of a job depends on, and how the same picture is asked for again."""

from __future__ import annotations

import pytest

from benchmarks.chaos import jobs, references
from rise_contracts.configuration import Configuration, Stage
from rise_contracts.resources import RelayJobSpec

HEAD = Stage(index=0, member="large", tier="edge", pool="edge", steps=8, sigma_to=0.9)
TAIL = Stage(index=1, member="finisher", tier="device", pool="device", steps=6, sigma_from=0.9, sigma_to=0.0)
ALONE = Stage(index=0, member="large", tier="edge", pool="edge", steps=24, sigma_to=0.0)


def configuration(*stages: Stage, **more: object) -> Configuration:
    return Configuration.model_validate({"arm": "an-arm", "stages": stages, **more})


def asked(relay: dict[str, object]) -> RelayJobSpec:
    return RelayJobSpec.model_validate({"prompt": "a", "relay": relay})


def test_a_choice_of_the_scheduler_is_asked_for_again_as_a_fixed_relay() -> None:
    relay = asked(references.relay_of(configuration(HEAD, TAIL, wire_dtype="fp16", solver="euler"))).relay
    stages = [(stage.member, stage.tier, stage.steps, stage.until_sigma) for stage in relay.stages]
    assert stages == [("large", "edge", 8, 0.9), ("finisher", "device", 6, None)]
    assert (relay.mode, relay.wire_dtype, relay.solver) == ("Fixed", "fp16", "euler")


def test_a_job_of_one_stage_is_asked_for_again_too() -> None:
    relay = asked(references.relay_of(configuration(ALONE))).relay
    assert [(stage.steps, stage.until_sigma) for stage in relay.stages] == [(24, None)]


@pytest.mark.parametrize(
    "other",
    [
        configuration(ALONE),
        configuration(HEAD.model_copy(update={"steps": 9}), TAIL),
        configuration(HEAD, TAIL.model_copy(update={"member": "small"})),
        configuration(HEAD.model_copy(update={"sigma_to": 0.6}), TAIL.model_copy(update={"sigma_from": 0.6})),
        configuration(HEAD, TAIL, wire_dtype="q8"),
    ],
    ids=["stages", "steps", "member", "sigma", "wire"],
)
def test_another_configuration_may_give_another_picture(other: Configuration) -> None:
    assert references.shape(configuration(HEAD, TAIL)) != references.shape(other)


def test_who_computes_it_makes_no_difference() -> None:
    bound = configuration(HEAD.model_copy(update={"worker": "edge-1", "pool": "other"}), TAIL)
    assert references.shape(bound) == references.shape(configuration(HEAD, TAIL))


def test_the_jobs_of_the_matrix_differ_in_their_key_alone() -> None:
    one, other = jobs.spec("one"), jobs.spec("other")
    assert one != other
    assert one.model_copy(update={"idempotency_key": "other"}) == other
    assert [stage.steps for stage in one.relay.stages] == [jobs.HEAD, jobs.TAIL]
    assert min(jobs.HEAD, jobs.TAIL) > jobs.STEP, "there is more to do after the moment"
    assert jobs.spec("one", ttl_s=0.5).ttl_seconds_after_finished == 0.5
