"""What a person typed, put together with a manifest, as one RelayJob. Pure: reading files is for the caller."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from rise_cli import arms
from rise_contracts import errors, resources, words
from rise_contracts.configuration import ArmStage
from rise_contracts.frames import frames_of

PREFERENCES = {"speed": 0.0, "balanced": 0.5, "quality": 1.0}
MOST_TIMES_SIZE = 4
"""A side may be so many times the family's own. Beyond, a picture is noise and takes all memory there is."""

_FLAGS = {
    "prompt": "prompt",
    "negativePrompt": "--negative",
    "seed": "--seed",
    "steps": "--steps",
    "images": "-n",
    "frames": "--frames",
    "width": "--size",
    "height": "--size",
    "guidanceScale": "--guidance",
    "preference": "--preference",
    "idempotencyKey": "--key",
    "relay": "--fixed",
    "family": "--family",
}


@dataclass(frozen=True)
class Wishes:
    """The options of `run` and `submit` that say what is wanted. None: not said."""

    prompt: str | None = None
    negative: str | None = None
    seed: int | None = None
    preference: str | None = None
    fixed: str | None = None
    steps: int | None = None
    images: int | None = None
    size: str | None = None
    guidance: float | None = None
    key: str | None = None
    frames: int | None = None


def parse_preference(text: str) -> float:
    """quality, balanced, speed, or a number from 0 (speed) to 1 (quality)."""
    folded = text.strip().casefold()
    if folded in PREFERENCES:
        return PREFERENCES[folded]
    try:
        value = float(folded)
    except ValueError:
        raise errors.UnknownName("preference", text, [*PREFERENCES, "0 … 1"], "--preference") from None
    if not 0 <= value <= 1:
        raise errors.InvalidInput("--preference", "quality, balanced, speed, or a number from 0 to 1", text)
    return value


def parse_size(text: str) -> tuple[int, int]:
    """ "64" or "96x64" (width x height), in pixels."""
    match = re.fullmatch(r"(\d{1,5})(?:[xX×](\d{1,5}))?", text.strip())
    if match is None:
        raise errors.InvalidInput("--size", "SIDE or WIDTHxHEIGHT in pixels", text, "for example 64 or 96x64")
    return int(match[1]), int(match[2] or match[1])


def build(wishes: Wishes, manifest: resources.RelayJob | None, family: resources.ModelFamily) -> resources.RelayJob:
    """The job: what was typed goes before what the manifest says. Raises InvalidInput naming the option."""
    base = manifest.model_dump(mode="json", by_alias=True, exclude_unset=True) if manifest else {}
    spec: dict[str, Any] = dict(base.get("spec", {}))
    spec |= {key: value for key, value in _plain(wishes).items() if value is not None}
    spec["family"] = family.metadata.name
    if wishes.size is not None:
        spec["width"], spec["height"] = parse_size(wishes.size)
    if wishes.preference is not None:
        spec["preference"] = parse_preference(wishes.preference)
    if wishes.fixed is not None:
        stages = arms.parse_fixed(wishes.fixed, family, wishes.steps)
        spec.pop("steps", None)
        relay = {key: value for key, value in spec.get("relay", {}).items() if key not in ("mode", "stages")}
        spec["relay"] = {**relay, "mode": "Fixed", "stages": arms.to_stage_specs(stages)}
    if "prompt" not in spec:
        raise errors.InvalidInput("prompt", "a prompt or -f FILE", "neither", 'for example rise run "a red circle"')
    # Not from the prompt: the name is part of the job's id, which stands in every log.
    metadata = {"name": "picture", **base.get("metadata", {})}
    job = _validate({"metadata": metadata, "spec": spec})
    check(job.spec, family)
    return job


def with_arm(job: resources.RelayJob, arm: str, seed: int, family: resources.ModelFamily) -> resources.RelayJob:
    """The same job done by `arm` from `seed`: one cell of a comparison."""
    data = job.model_dump(mode="json", by_alias=True, exclude_unset=True)
    stages = arms.to_stage_specs(arms.parse_fixed(arm, family))
    relay = {key: value for key, value in data["spec"].get("relay", {}).items() if key not in ("mode", "stages")}
    spec = {key: value for key, value in data["spec"].items() if key not in ("steps", "idempotencyKey")}
    spec |= {"seed": seed, "relay": {**relay, "mode": "Fixed", "stages": stages}}
    return _validate({**data, "spec": spec})


def check(spec: resources.RelayJobSpec, family: resources.ModelFamily) -> None:
    """Raise where the family cannot do what the spec asks: unknown members, a handoff no member can take, a size far
    from its own, frames of what is no video."""
    frames_of(family, spec.frames, "--frames")
    most = MOST_TIMES_SIZE * family.spec.default_size
    for side in (spec.width, spec.height):
        if side is not None and side > most:
            raise errors.InvalidInput("--size", f"at most {most} pixels a side for {family.metadata.name}", side)
    if spec.relay.mode == "Fixed":
        stages = [ArmStage(stage.member, stage.steps, stage.until_sigma) for stage in spec.relay.stages]
        arms.check_stages(stages, family, "relay")


def ignored(spec: resources.RelayJobSpec, family: resources.ModelFamily) -> list[str]:
    """What was asked for and will change nothing, each in a line."""
    usual = max(member.default_guidance for member in family.spec.members)
    guidance = usual if spec.guidance_scale is None else spec.guidance_scale
    if spec.negative_prompt and guidance <= 1:
        return ["a negative prompt changes nothing at guidance 1; add for example --guidance 3"]
    return []


def _plain(wishes: Wishes) -> dict[str, Any]:
    return {
        "prompt": wishes.prompt,
        "negativePrompt": wishes.negative,
        "seed": wishes.seed,
        "steps": wishes.steps,
        "images": wishes.images,
        "frames": wishes.frames,
        "guidanceScale": wishes.guidance,
        "idempotencyKey": wishes.key,
    }


def _validate(data: dict[str, Any]) -> resources.RelayJob:
    try:
        return resources.RelayJob.model_validate(data)
    except ValidationError as error:
        raise _as_invalid_input(error) from error


def _as_invalid_input(error: ValidationError) -> errors.InvalidInput:
    problem = error.errors(include_url=False)[0]
    path = [str(part) for part in problem["loc"] if part != "spec"]
    field = _FLAGS.get(path[0], ".".join(path)) if path else "job"
    context = problem.get("ctx", {})
    got = problem["input"]
    if field == "prompt":
        if problem["type"] == "string_too_long":
            return errors.InvalidInput("prompt", f"at most {context['max_length']} characters", len(got), "shorten it")
        return errors.InvalidInput("prompt", "some words", got, 'for example "a red circle"')
    wanted = words.wanted(problem["type"], problem["msg"], context)
    return errors.InvalidInput(field, wanted, got if not isinstance(got, dict) else "this")
