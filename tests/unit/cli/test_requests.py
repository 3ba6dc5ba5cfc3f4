"""What was typed and what a manifest says, as one job."""

from __future__ import annotations

import pytest

from rise_cli import requests
from rise_cli.requests import Wishes
from rise_contracts import errors, manifest, resources

MANIFEST = """
apiVersion: rise-relay.io/v1alpha1
kind: RelayJob
metadata: {name: two-shapes}
spec: {family: tiny, prompt: from the file, seed: 3, steps: 9, preference: 0.2}
"""


def test_a_prompt_is_enough(family: resources.ModelFamily) -> None:
    job = requests.build(Wishes(prompt="A small red circle!"), None, family)
    assert job.metadata.name == "picture", "no word of the prompt, for it stands in every log"
    assert (job.spec.family, job.spec.seed, job.spec.preference) == ("tiny", None, 0.5)


def test_what_is_typed_goes_before_the_manifest(family: resources.ModelFamily) -> None:
    job = requests.build(Wishes(seed=7, preference="quality", images=4), manifest.load_job(MANIFEST), family)
    assert (job.spec.prompt, job.spec.seed, job.spec.steps) == ("from the file", 7, 9)
    assert (job.spec.preference, job.spec.images, job.metadata.name) == (1.0, 4, "two-shapes")


def test_fixed_becomes_the_stages_of_the_manifest(family: resources.ModelFamily) -> None:
    job = requests.build(Wishes(fixed="large:6@1.2+finisher:6"), manifest.load_job(MANIFEST), family)
    assert job.spec.relay.mode == "Fixed"
    assert [(s.member, s.steps, s.until_sigma) for s in job.spec.relay.stages] == [
        ("large", 6, 1.2),
        ("finisher", 6, None),
    ]
    assert job.spec.steps is None


def test_a_size_may_be_one_side_or_two(family: resources.ModelFamily) -> None:
    assert requests.parse_size("64") == (64, 64)
    job = requests.build(Wishes(prompt="x", size="96x64"), None, family)
    assert (job.spec.width, job.spec.height) == (96, 64)


@pytest.mark.parametrize(("text", "want"), [("quality", 1.0), ("Balanced", 0.5), ("speed", 0.0), (" 0.25 ", 0.25)])
def test_preferences_are_words_or_numbers(text: str, want: float) -> None:
    assert requests.parse_preference(text) == want


BAD = {
    "an empty prompt": (Wishes(prompt=""), "prompt: wanted some words"),
    "a blank prompt": (Wishes(prompt="   "), "prompt: wanted some words"),
    "an over-long prompt": (Wishes(prompt="a " * 600), "prompt: wanted at most 1000 characters, got 1200"),
    "no prompt": (Wishes(), "a prompt or -f FILE"),
    "too many steps": (Wishes(prompt="x", steps=500), "--steps: wanted at most 200, got 500"),
    "no steps": (Wishes(prompt="x", steps=0), "--steps: wanted at least 1, got 0"),
    "a negative seed": (Wishes(prompt="x", seed=-1), "--seed: wanted at least 0"),
    "a huge seed": (Wishes(prompt="x", seed=2**63), "--seed: wanted at most"),
    "too many images": (Wishes(prompt="x", images=17), "-n: wanted at most 16"),
    "too many frames": (Wishes(prompt="x", frames=500), "--frames: wanted at most 257, got 500"),
    "frames of a picture": (Wishes(prompt="x", frames=5), "--frames: wanted 1: family tiny makes pictures"),
    "an odd size": (Wishes(prompt="x", size="65"), "--size: wanted a multiple of 8, got 65"),
    "a tiny size": (Wishes(prompt="x", size="0"), "--size: wanted at least 8"),
    "a huge size": (Wishes(prompt="x", size="8192"), "--size: wanted at most 4096"),
    "a size in words": (Wishes(prompt="x", size="big"), "SIDE or WIDTHxHEIGHT"),
    "a preference above one": (Wishes(prompt="x", preference="1.5"), "a number from 0 to 1"),
    "no number": (Wishes(prompt="x", preference="nan"), "a number from 0 to 1"),
    "a mistyped preference": (Wishes(prompt="x", preference="qualty"), "did you mean 'quality'?"),
    "a mistyped member": (Wishes(prompt="x", fixed="lagre:3"), "did you mean 'large'?"),
    "an endless guidance": (Wishes(prompt="x", guidance=1e9), "--guidance: wanted at most 50"),
    "an empty key": (Wishes(prompt="x", key=""), "--key: wanted"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_in_one_line(case: str, family: resources.ModelFamily) -> None:
    wishes, want = BAD[case]
    with pytest.raises(errors.InvalidInput) as caught:
        requests.build(wishes, None, family)
    assert want in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_frames_are_asked_for_where_the_family_makes_videos(family: resources.ModelFamily) -> None:
    spec = family.spec.model_copy(update={"architecture": "wan"})
    videos = family.model_copy(update={"spec": spec})
    assert requests.build(Wishes(prompt="x", frames=33), None, videos).spec.frames == 33
    assert requests.build(Wishes(prompt="x"), None, videos).spec.frames is None
    with pytest.raises(errors.InvalidInput, match="--frames: wanted 1 and a multiple of 4 more, such as 29 or 33"):
        requests.build(Wishes(prompt="x", frames=32), None, videos)


def test_a_manifest_with_a_finisher_first_is_refused(family: resources.ModelFamily) -> None:
    text = MANIFEST.replace("steps: 9", "relay: {mode: Fixed, stages: [{member: finisher, steps: 3}]}")
    with pytest.raises(errors.InvalidInput, match="finisher only finishes"):
        requests.build(Wishes(), manifest.load_job(text), family)


def test_a_cell_of_a_comparison_changes_arm_and_seed_alone(family: resources.ModelFamily) -> None:
    job = requests.build(Wishes(prompt="a b", key="k", steps=5, preference="speed"), None, family)
    cell = requests.with_arm(job, "large:6@1.2+small:4", 11, family)
    assert (cell.spec.seed, cell.spec.idempotency_key, cell.spec.steps, cell.spec.preference) == (11, None, None, 0.0)
    assert [stage.member for stage in cell.spec.relay.stages] == ["large", "small"]


def test_a_negative_prompt_without_guidance_is_told_to_change_nothing(family: resources.ModelFamily) -> None:
    plain = requests.build(Wishes(prompt="x", negative="y"), None, family)
    guided = requests.build(Wishes(prompt="x", negative="y", guidance=3.0), None, family)
    assert requests.ignored(plain.spec, family) == [
        "a negative prompt changes nothing at guidance 1; add for example --guidance 3"
    ]
    assert requests.ignored(guided.spec, family) == []
