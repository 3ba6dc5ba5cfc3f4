"""What a person may write, and what not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rise_contracts.resources import ModelFamily, RelayJob, RelayJobSpec, RelaySpec, Source


def job(**spec: Any) -> RelayJob:
    return RelayJob.model_validate({"spec": {"prompt": "a red circle", **spec}})


def test_a_prompt_is_all_that_a_job_needs() -> None:
    spec = job().spec
    assert (spec.family, spec.images, spec.preference, spec.backoff_limit) == ("rise-shapes", 1, 0.5, 3)
    assert spec.relay.mode == "Auto"
    assert spec.seed is None
    assert spec.placement == "Warm"


def test_manifests_are_written_in_camel_case_and_read_in_both() -> None:
    spec = job(negativePrompt="blur", guidance_scale=2.0).spec
    assert (spec.negative_prompt, spec.guidance_scale) == ("blur", 2.0)
    assert "negativePrompt" in spec.model_dump(by_alias=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""),
        ("prompt", "   "),
        ("prompt", "x" * 1001),
        ("negativePrompt", "x" * 1001),
        ("seed", -1),
        ("seed", 2**63),
        ("width", 63),
        ("width", 0),
        ("height", 4104),
        ("images", 0),
        ("images", 17),
        ("steps", 0),
        ("steps", 201),
        ("guidanceScale", -0.1),
        ("guidanceScale", float("nan")),
        ("preference", 1.1),
        ("preference", -0.1),
        ("backoffLimit", -1),
        ("startDeadlineSeconds", 0),
        ("activeDeadlineSeconds", float("inf")),
        ("placement", "Cold"),
        ("idempotencyKey", ""),
        ("family", "Not A Name"),
        ("promt", "a red circle"),
        ("managedBy", "somebody"),
        ("deviceSelector", {"of a": "b"}),
    ],
)
def test_a_value_out_of_range_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        job(**{field: value})
    assert field in str(caught.value)


@pytest.mark.parametrize(
    ("relay", "message"),
    [
        ({"stages": [{"member": "large", "steps": 3}]}, "only for mode Fixed"),
        ({"mode": "Fixed"}, "at least one stage"),
        ({"mode": "Fixed", "stages": [{"member": "a", "steps": 3}, {"member": "b", "steps": 3}]}, "needs untilSigma"),
        ({"mode": "Fixed", "stages": [{"member": "a", "steps": 3, "untilSigma": 1.0}]}, "must not have untilSigma"),
        (
            {
                "mode": "Fixed",
                "stages": [
                    {"member": "a", "steps": 3, "untilSigma": 1.0},
                    {"member": "b", "steps": 3, "untilSigma": 2.0},
                    {"member": "c", "steps": 3},
                ],
            },
            "must fall",
        ),
    ],
)
def test_a_relay_that_cannot_be_is_refused(relay: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RelaySpec.model_validate(relay)


def test_a_fixed_relay_is_taken() -> None:
    stages = [{"member": "large", "steps": 6, "untilSigma": 1.2}, {"member": "small", "tier": "device", "steps": 6}]
    spec = job(relay={"mode": "Fixed", "stages": stages, "solver": "dpmpp_2m", "wireDtype": "q8"}).spec
    assert [stage.until_sigma for stage in spec.relay.stages] == [1.2, None]


def test_steps_of_a_fixed_relay_may_be_repeated_and_not_contradicted() -> None:
    relay = {"mode": "Fixed", "stages": [{"member": "a", "steps": 8, "untilSigma": 1.5}, {"member": "b", "steps": 4}]}
    assert job(relay=relay, steps=12).spec.steps == 12
    with pytest.raises(ValidationError, match="or be the 12 that its stages add up to"):
        job(relay=relay, steps=20)


def test_a_job_has_room_for_so_many_frames() -> None:
    assert job(images=4, frames=256).spec.frames == 256
    with pytest.raises(ValidationError, match="images times frames must be at most 1024, got 1028"):
        job(images=4, frames=257)


def test_a_job_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        job().spec.images = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "exactly one"),
        ({"path": "x", "hub": "y"}, "exactly one"),
        ({"path": "x", "revision": "main"}, "hub sources only"),
        ({"hub": "owner/name/more"}, "hub"),
    ],
)
def test_a_source_is_exactly_one_place(source: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Source.model_validate(source)


def family(**spec: Any) -> ModelFamily:
    members = [{"name": "large"}, {"name": "small", "tier": "device"}]
    return ModelFamily.model_validate(
        {"metadata": {"name": "f"}, "spec": {"base": {"path": "x"}, "members": members, **spec}}
    )


def test_members_are_found_by_name() -> None:
    small = family().member("small")
    assert small is not None
    assert small.tier == "device"
    assert family().member("tiny") is None


def test_members_have_names_of_their_own() -> None:
    with pytest.raises(ValidationError, match="must differ"):
        family(members=[{"name": "a"}, {"name": "a"}])


def test_a_named_relay_names_members_that_are_there() -> None:
    relay = {"name": "fast", "stages": [{"member": "large", "steps": 2, "untilSigma": 1}, {"member": "x", "steps": 2}]}
    with pytest.raises(ValidationError, match=r"unknown members \['x'\]; members: \['large', 'small'\]"):
        family(relays=[relay])


def test_a_spec_survives_the_wire() -> None:
    spec = job(seed=2**63 - 1, deviceSelector={"who": "me"}, ttlSecondsAfterFinished=0).spec
    assert RelayJobSpec.model_validate_json(spec.model_dump_json(by_alias=True), strict=True) == spec
