"""The check of one picture: right ones pass, wrong ones are told with what is wrong."""

from __future__ import annotations

import hashlib
import io
import json
import random

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rise_contracts import messages
from rise_contracts.errors import InvalidInput
from rise_contracts.records import JobRecord
from rise_contracts.resources import RelayJobSpec
from rise_runtime.access import NOBODY
from rise_runtime.client import Result
from rise_shapes.grammar import parse
from rise_shapes.render import render
from rise_shapes.scene import Placed, place
from rise_stage import smoke

PROMPT = "a large red circle"


def drawn(prompt: str) -> NDArray[np.uint8]:
    """A picture that shows the prompt, drawn by program."""
    scene = parse(prompt)
    centres = place(scene, random.Random(3))
    assert centres is not None
    return render(Placed(scene, centres))


def png(image: NDArray[np.uint8]) -> bytes:
    held = io.BytesIO()
    Image.fromarray(image).save(held, "PNG")
    return held.getvalue()


def result(*images: NDArray[np.uint8]) -> Result:
    files = tuple(png(image) for image in images)
    digest = hashlib.sha256(b"".join(files)).hexdigest()
    refs = tuple(
        messages.ImageRef(sha256=hashlib.sha256(file).hexdigest(), nbytes=len(file), width=64, height=64)
        for file in files
    )
    done = messages.JobDone(
        job_id="smoke-1",
        attempt=1,
        at=1.0,
        worker="device-0",
        arm="large:4@1+small:4",
        seed=7,
        digest=digest,
        nbytes=sum(map(len, files)),
        images=refs,
        payload=messages.PayloadRef(kind="inline", nbytes=sum(map(len, files)), sha256=digest),
        stages=(),
    )
    return Result(done, files)


def record() -> JobRecord:
    spec = RelayJobSpec(prompt=PROMPT, seed=7)
    return JobRecord(request=messages.JobRequest(job_id="smoke-1", spec=spec, seed=7, accepted_at=0.0))


def test_a_picture_of_the_prompt_passes_and_is_told_as_json() -> None:
    told = json.loads(smoke.verdict(record(), result(drawn(PROMPT)), parse(PROMPT)))
    assert told == {"job": "smoke-1", "prompt": PROMPT, "arm": "large:4@1+small:4", "stages": [], "ok": True}


def test_a_picture_of_something_else_is_told_with_what_is_wrong() -> None:
    with pytest.raises(smoke.WrongPicture) as wrong:
        smoke.verdict(record(), result(drawn("a large blue circle")), parse(PROMPT))
    assert wrong.value.exit_code == 1
    assert "wanted a picture of 'a large red circle', got one in which nothing is red" in str(wrong.value)


def test_one_wrong_picture_among_several_is_enough() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    with pytest.raises(smoke.WrongPicture):
        smoke.verdict(record(), result(drawn(PROMPT), noise), parse(PROMPT))


async def test_a_prompt_that_nobody_can_judge_is_refused_before_anything_else() -> None:
    with pytest.raises(InvalidInput, match="--prompt: wanted a prompt that can be judged, got 'a cat'"):
        await smoke.run("nats://127.0.0.1:1", NOBODY, "a cat", 7, 1.0)


def test_a_wrong_argument_ends_with_the_error_s_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert smoke.main(["--prompt", "a cat"]) == InvalidInput.exit_code
    assert capsys.readouterr().err.startswith("rise_stage.smoke: --prompt: wanted")
