"""One stage as the worker loop asks for it: results, progress, stopping, refusals."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
import torch
from PIL import Image
from safetensors.torch import load

from rise_contracts.errors import HandoffRefused, InvalidInput, Refusal, StageFailed, UnknownName
from rise_contracts.handoff import HandoffHeader
from rise_contracts.messages import JobRequest, StageTask
from rise_contracts.resources import ModelFamily, RelayJobSpec
from rise_runtime.seam import Handoff, Identity, Picture, Pictures, StageContext, StageResult, Stopped
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.batch import TOLERANCE
from rise_stage.engine.images import to_png
from rise_stage.handler import Handler

RELAY = "large:3@1.2+small:4"


@dataclass
class Seen:
    """What a handler said of its progress; `stop_at` ends it there."""

    stop_at: int = 0
    steps: list[tuple[int, int, float]] = field(default_factory=list)

    def context(self) -> StageContext:
        def emit(step: int, steps: int, sigma: float, seconds_per_step: float) -> None:
            assert seconds_per_step > 0
            self.steps.append((step, steps, sigma))
            if step == self.stop_at:
                context.stop("cancelled")

        context = StageContext(Identity("w", "edge", "edge"), 1, emit)
        return context


@pytest.fixture(scope="module")
def handler(sd_engine: Engine) -> Handler:
    return Handler([sd_engine.manifest], lambda family: sd_engine)


def task(
    sd: ModelFamily, arm: str = RELAY, index: int = 0, handoff: HandoffHeader | None = None, **spec: object
) -> StageTask:
    """A task of job-1; two images ask for a preview, too."""
    wanted = RelayJobSpec.model_validate({"family": "tiny", "prompt": "a red dot", **spec})
    return StageTask(
        job_id="job-1",
        attempt=1,
        stage_index=index,
        request=JobRequest(job_id="job-1", spec=wanted, seed=7, accepted_at=0.0, preview=spec.get("images") == 2),
        configuration=configuration_of(arm, sd),
        handoff=handoff,
    )


def head_of(handler: Handler, sd: ModelFamily, images: int = 1) -> Handoff:
    result = handler(task(sd, images=images), b"", Seen().context())
    assert isinstance(result, Handoff)
    return result


def test_a_head_hands_over_and_a_tail_makes_the_pictures(handler: Handler, sd: ModelFamily, sd_engine: Engine) -> None:
    seen = Seen()
    head = handler(task(sd), b"", seen.context())
    assert isinstance(head, Handoff)
    assert (head.header.job, head.header.stage, head.header.sigma) == ("job-1", 0, float(torch.tensor(1.2)))
    assert [step for step, _, _ in seen.steps] == [1, 2, 3]
    tail = handler(task(sd, index=1, handoff=head.header), head.payload, Seen().context())
    assert isinstance(tail, Pictures)
    assert tail.steps == 4
    assert {"load", "receive", "encode", "denoise", "decode", "png"} <= set(tail.timings)
    with Image.open(io.BytesIO(tail.pictures[0].png)) as picture:
        assert picture.size == (tail.pictures[0].width, tail.pictures[0].height) == (64, 64)
    alone = sd_engine.generate(["a red dot"], [7], RELAY).images[0]
    assert tail.pictures[0].png == to_png(alone)


def test_several_images_take_the_seeds_that_follow(handler: Handler, sd: ModelFamily, sd_engine: Engine) -> None:
    head = head_of(handler, sd, images=2)
    assert head.header.shape == (2, 4, 16, 16)
    assert head.preview.startswith(b"\x89PNG")
    tail = handler(task(sd, index=1, handoff=head.header, images=2), head.payload, Seen().context())
    assert isinstance(tail, Pictures)
    both = sd_engine.generate(["a red dot"] * 2, [7, 8], RELAY).images
    assert [picture.png for picture in tail.pictures] == [to_png(picture) for picture in both]


def test_the_same_task_gives_the_same_bytes_again(handler: Handler, sd: ModelFamily) -> None:
    one, other = head_of(handler, sd), head_of(handler, sd)
    assert (one.payload, one.header) == (other.payload, other.header)


def test_a_cancelled_stage_stops_within_one_step(handler: Handler, sd: ModelFamily) -> None:
    seen = Seen(stop_at=2)
    with pytest.raises(Stopped, match="cancelled"):
        handler(task(sd, "large:9"), b"", seen.context())
    assert [step for step, _, _ in seen.steps] == [1, 2]


def test_a_size_that_is_asked_for_is_made(handler: Handler, sd: ModelFamily) -> None:
    result = handler(task(sd, "large:2", width=96, height=48), b"", Seen().context())
    assert isinstance(result, Pictures)
    assert (result.pictures[0].width, result.pictures[0].height) == (96, 48)


def test_a_handoff_of_another_job_is_refused(handler: Handler, sd: ModelFamily) -> None:
    head = head_of(handler, sd)
    stranger = head.header.model_copy(update={"job": "job-2"})
    with pytest.raises(HandoffRefused) as caught:
        handler(task(sd, index=1, handoff=stranger), head.payload, Seen().context())
    assert caught.value.refusal is Refusal.JOB


def test_a_damaged_handoff_is_refused_and_the_next_task_served(handler: Handler, sd: ModelFamily) -> None:
    head = head_of(handler, sd)
    damaged = head.payload[:-4] + b"\x00\x00\xc0\x7f"
    sealed = head.header.model_copy(update={"sha256": hashlib.sha256(damaged).hexdigest()})
    with pytest.raises(HandoffRefused) as caught:
        handler(task(sd, index=1, handoff=sealed), damaged, Seen().context())
    assert caught.value.refusal is Refusal.NOT_FINITE
    assert isinstance(handler(task(sd, index=1, handoff=head.header), head.payload, Seen().context()), Pictures)


def test_a_tail_without_a_handoff_is_refused(handler: Handler, sd: ModelFamily) -> None:
    with pytest.raises(StageFailed, match="without a handoff"):
        handler(task(sd, index=1), b"", Seen().context())


def test_a_family_that_is_not_served_is_named(handler: Handler, sd: ModelFamily) -> None:
    with pytest.raises(UnknownName, match="did you mean 'tiny'"):
        handler(task(sd, family="tyny"), b"", Seen().context())


def test_a_finisher_that_would_have_to_begin_is_refused(handler: Handler, sd: ModelFamily) -> None:
    with pytest.raises(InvalidInput, match="begin from pure noise"):
        handler(task(sd, "finisher:4"), b"", Seen().context())


def test_being_out_of_memory_is_a_failure_that_another_attempt_may_escape(sd_engine: Engine) -> None:
    def load(family: ModelFamily) -> Engine:
        raise torch.OutOfMemoryError("tried to allocate\n2 GiB")

    with pytest.raises(StageFailed, match="out of memory: tried to allocate 2 GiB") as caught:
        Handler([sd_engine.manifest], load)(task(sd_engine.manifest), b"", Seen().context())
    assert (caught.value.reason, caught.value.retriable) == ("OutOfMemory", True)


def test_stages_at_once_share_their_passes_and_end_as_they_do_alone(sd: ModelFamily, sd_engine: Engine) -> None:
    """Heads, tails and whole jobs with other guidance, steps and sizes: each gives what it gives by itself."""
    handler = Handler([sd], lambda family: sd_engine)
    head = head_of(handler, sd)
    cases = [
        (task(sd), b""),
        (task(sd, "large:5", guidance_scale=4.0), b""),
        (task(sd, "large:9@0.7+small:2", images=2), b""),
        (task(sd, index=1, handoff=head.header), head.payload),
        (task(sd, "large:3", width=96, height=48), b""),
    ]
    alone = [handler(*case, Seen().context()) for case in cases]
    pace = handler.status().seconds_per_step
    together = at_once(handler, cases)
    for one, other in zip(alone, together, strict=True):
        assert type(one) is type(other)
        assert near(one, other)
        assert other.timings["waited"] >= 0
    assert handler.status().seconds_per_step["large"] < 3 * pace["large"]
    assert handler.status().gain > 0


def test_one_of_several_stages_is_cancelled_and_one_is_refused(sd: ModelFamily, sd_engine: Engine) -> None:
    handler = Handler([sd], lambda family: sd_engine)
    wanted = handler(task(sd, "large:6"), b"", Seen().context())
    seen = Seen(stop_at=2)
    cases = [(task(sd, "large:6"), b""), (task(sd, "large:9"), b""), (task(sd, index=1), b"")]
    contexts = [Seen().context(), seen.context(), Seen().context()]
    with ThreadPoolExecutor(max_workers=3) as threads:
        stays, goes, refused = [
            threads.submit(handler, *case, context) for case, context in zip(cases, contexts, strict=True)
        ]
        with pytest.raises(Stopped, match="cancelled"):
            goes.result(60)
        with pytest.raises(StageFailed, match="without a handoff"):
            refused.result(60)
        assert near(stays.result(60), wanted)
    assert [step for step, _, _ in seen.steps] == [1, 2]


def at_once(handler: Handler, cases: Sequence[tuple[StageTask, bytes]]) -> list[StageResult]:
    with ThreadPoolExecutor(max_workers=len(cases)) as threads:
        started = [threads.submit(handler, *case, Seen().context()) for case in cases]
        return [future.result(60) for future in started]


def near(one: StageResult, other: StageResult) -> bool:
    """The same latent within the tolerance of a batch, or the same pictures but for the last bit of a few pixels."""
    if isinstance(one, Handoff) and isinstance(other, Handoff):
        found, wanted = (load(result.payload)["x"] for result in (one, other))
        return float((found - wanted).abs().max() / wanted.abs().max()) <= TOLERANCE
    if isinstance(one, Pictures) and isinstance(other, Pictures):
        pairs = zip(one.pictures, other.pictures, strict=True)
        return all(int((pixels(a) - pixels(b)).abs().max()) <= 1 for a, b in pairs)
    return False


def pixels(picture: Picture) -> torch.Tensor:
    with Image.open(io.BytesIO(picture.png)) as image:
        return torch.tensor(list(image.get_flattened_data()), dtype=torch.int)


def test_a_prepared_handler_says_what_it_has_and_how_fast_it_is(sd: ModelFamily) -> None:
    handler = Handler([sd], Engine.load)
    assert handler.status().members == ()
    handler.prepare({"tiny": ["small"]})
    status = handler.status()
    assert status.members == ("small",)
    assert status.seconds_per_step["small"] > 0
    handler(task(sd, "large:2"), b"", Seen().context())
    assert handler.status().members == ("small", "large")
    assert set(handler.status().seconds_per_step) == {"small", "large"}
