"""Weights that are not there, not whole or not weights: one typed line, and the next task is served."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from rise_contracts.errors import HandoffRefused, InvalidInput, Refusal, StageFailed
from rise_contracts.messages import StageTask
from rise_contracts.resources import Member, ModelFamily, Source
from rise_runtime.seam import Handoff, Identity, Pictures, StageContext
from rise_stage.engine import Engine
from rise_stage.engine.families import sizes
from rise_stage.handler import Handler
from tests.model.conftest import folder_of
from tests.model.test_handler import Seen, head_of, task

WEIGHTS = "diffusion_pytorch_model.safetensors"
INDEX = WEIGHTS + ".index.json"


@pytest.fixture(scope="module")
def handler(sd_engine: Engine) -> Handler:
    return Handler([sd_engine.manifest], lambda family: sd_engine)


@pytest.fixture
def copy(sd: ModelFamily, tmp_path: Path) -> Path:
    """A copy of the tiny family whose denoiser is in several files, which a test may break."""
    folder = Path(shutil.copytree(folder_of(sd), tmp_path / "copy"))
    network = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
    shutil.rmtree(folder / "unet")
    network.save_pretrained(folder / "unet", max_shard_size="50KB")
    assert len(shards(folder)) > 1
    return folder


def shards(folder: Path) -> list[Path]:
    return sorted((folder / "unet").glob("*-of-*.safetensors"))


def with_foreign(sd: ModelFamily, source: Source) -> ModelFamily:
    """The family with one more member, from elsewhere."""
    members = (*sd.spec.members, Member(name="foreign", source=source))
    return sd.model_copy(update={"spec": sd.spec.model_copy(update={"members": members})})


def of(family: ModelFamily, member: str) -> StageTask:
    return task(family, f"{member}:2")


def name_a_shard_that_is_not_there(folder: Path) -> None:
    index = json.loads((folder / "unet" / INDEX).read_text())
    first = min(index["weight_map"])
    index["weight_map"][first] = "diffusion_pytorch_model-00099-of-00099.safetensors"
    (folder / "unet" / INDEX).write_text(json.dumps(index))


def one_file_of(content: bytes) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        for path in (*shards(folder), folder / "unet" / INDEX):
            path.unlink()
        (folder / "unet" / WEIGHTS).write_bytes(content)

    return damage


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BROKEN: dict[str, Callable[[Path], object]] = {
    "a shard that is gone": lambda folder: shards(folder)[-1].unlink(),
    "a shard that the index alone knows": name_a_shard_that_is_not_there,
    "a shard cut short": lambda folder: cut(shards(folder)[-1]),
    "a shard of no bytes": lambda folder: shards(folder)[-1].write_bytes(b""),
    "an index cut short": lambda folder: cut(folder / "unet" / INDEX),
    "an index that is no object": lambda folder: (folder / "unet" / INDEX).write_text("[]"),
    "an index without a map": lambda folder: (folder / "unet" / INDEX).write_text("{}"),
    "an index that names no shard": lambda folder: (folder / "unet" / INDEX).write_text('{"weight_map": {}}'),
    "a pickle by the name of safetensors": one_file_of(b"PK\x03\x04" + bytes(500)),
    "a web page": one_file_of(b"<!doctype html><title>404</title>" + bytes(500)),
    "a pointer to a large file": one_file_of(b"version https://git-lfs.github.com/spec/v1\nsize 9\n"),
    "nothing": one_file_of(b""),
    "JSON without an end in depth": lambda folder: (folder / "unet" / "config.json").write_text("[" * 10**6),
    "a folder that is gone": shutil.rmtree,
}


def of_nothing(name: str, nbytes: int) -> Callable[[Path], object]:
    """A file of that size, with nothing in it: on a disk it takes no room."""

    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        with (folder / name).open("wb") as file:
            file.truncate(nbytes)

    return make


def a_header_of(nbytes: int) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        of_nothing(f"unet/{WEIGHTS}", 2 * nbytes)(folder)
        with (folder / "unet" / WEIGHTS).open("r+b") as file:
            file.write(nbytes.to_bytes(8, "little"))

    return make


def a_device(folder: Path) -> None:
    (folder / "unet" / "config.json").unlink()
    (folder / "unet" / "config.json").symlink_to("/dev/zero")


HUGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a configuration": (of_nothing("unet/config.json", sizes.CONFIG_BYTES + 1), "at most 4 MiB at .*config.json"),
    "an index": (of_nothing(f"unet/{INDEX}", sizes.CONFIG_BYTES + 1), "at most 4 MiB at .*index.json"),
    "a scheduler": (of_nothing("scheduler/scheduler_config.json", 2**40), "at most 4 MiB at .*scheduler_config.json"),
    "words": (of_nothing("tokenizer/vocab.json", sizes.WORDS_BYTES + 1), "at most 64 MiB at .*vocab.json"),
    "merges": (of_nothing("tokenizer/merges.txt", 2**40), "at most 64 MiB at .*merges.txt"),
    "a header": (a_header_of(sizes.HEADER_BYTES + 1), "a header of at most 16 MiB at .*safetensors"),
    "a device": (a_device, "a file at .*config.json, got 'c"),
}


@pytest.mark.parametrize("case", HUGE)
def test_what_is_larger_than_any_real_model_has_is_not_read(case: str, sd: ModelFamily, copy: Path) -> None:
    damage, why = HUGE[case]
    damage(copy)
    base = sd.model_copy(update={"spec": sd.spec.model_copy(update={"base": Source(path=str(copy))})})
    with pytest.raises(InvalidInput, match=why) as caught:
        Handler([base], Engine.load)(of(base, "large"), b"", Seen().context())
    assert_a_line(str(caught.value))


@pytest.mark.parametrize("case", BROKEN)
def test_a_member_that_is_not_whole_is_refused_and_the_next_task_served(case: str, sd: ModelFamily, copy: Path) -> None:
    BROKEN[case](copy)
    family = with_foreign(sd, Source(path=str(copy)))
    handler = Handler([family], Engine.load)
    with pytest.raises(InvalidInput) as caught:
        handler(of(family, "foreign"), b"", Seen().context())
    assert_a_line(str(caught.value))
    assert isinstance(handler(of(family, "small"), b"", Seen().context()), Pictures)


def assert_a_line(text: str) -> None:
    assert text.isprintable()
    assert "wanted" in text
    assert "got" in text


HUB = """
import sys
from rise_contracts.errors import InvalidInput
from rise_contracts.resources import Source
from rise_stage.engine.families.sources import locate
try:
    locate(Source(hub="someone/model"))
except InvalidInput as error:
    print(error)
"""


def said_of_a_hub(tmp_path: Path, **environment: str) -> str:
    """What a fresh process, with an empty cache, says of a model of the hub."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    env = {**kept, "HF_HOME": str(tmp_path / "hub"), "NO_PROXY": "127.0.0.1", **environment}
    ran = subprocess.run([sys.executable, "-c", HUB], env=env, capture_output=True, text=True, timeout=120, check=True)
    return ran.stdout.strip()


def test_a_hub_that_is_not_to_be_asked_or_does_not_answer_is_said(tmp_path: Path) -> None:
    for environment in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        said = said_of_a_hub(tmp_path, **environment)
        assert_a_line(said)
        assert "connect once, or use a path to a local copy" in said


Spoil = Callable[[Handoff], tuple[dict[str, object], bytes]]
NAN = b"\x00\x00\xc0\x7f"
BAD: dict[str, tuple[Spoil, Refusal]] = {
    "no bytes": (lambda head: ({}, b""), Refusal.MALFORMED),
    "cut short": (lambda head: ({}, head.payload[:-10]), Refusal.MALFORMED),
    "too long": (lambda head: ({}, head.payload + bytes(10**6)), Refusal.MALFORMED),
    "a flipped header": (lambda head: ({}, b"\xff" + head.payload[1:]), Refusal.MALFORMED),
    "NaN": (lambda head: ({}, head.payload[:-4] + NAN), Refusal.NOT_FINITE),
    "foreign": (lambda head: ({}, b"PK\x03\x04" + bytes(100)), Refusal.MALFORMED),
    "another version": (lambda head: ({"contract_version": 2}, head.payload), Refusal.VERSION),
    "another type": (lambda head: ({"dtype": "fp16"}, head.payload), Refusal.DTYPE),
    "another space": (lambda head: ({"latent_contract": "b" * 64}, head.payload), Refusal.LATENT_CONTRACT),
    "another level": (lambda head: ({"sigma": 3.0}, head.payload), Refusal.SIGMA),
    "a state it lacks": (lambda head: ({"solver_state": ("x_lost",)}, head.payload), Refusal.MALFORMED),
}


@pytest.mark.parametrize("case", BAD)
def test_after_a_bad_handoff_the_next_task_is_served(case: str, handler: Handler, sd: ModelFamily) -> None:
    head = head_of(handler, sd)
    spoil, why = BAD[case]
    changes, payload = spoil(head)
    spoilt = head.header.model_copy(update=changes)
    with pytest.raises(HandoffRefused) as caught:
        handler(task(sd, index=1, handoff=spoilt), payload, Seen().context())
    assert caught.value.refusal is why
    assert_a_line(str(caught.value))
    assert isinstance(handler(task(sd, index=1, handoff=head.header), head.payload, Seen().context()), Pictures)


def test_out_of_memory_in_a_step_is_retriable_and_the_next_task_is_served(handler: Handler, sd: ModelFamily) -> None:
    """A real one, of the allocator: a petabyte."""

    def exhaust(step: int, steps: int, sigma: float, seconds_per_step: float) -> None:
        torch.empty(2**50, dtype=torch.uint8)

    context = StageContext(Identity("w", "edge", "edge"), 1, exhaust)
    with pytest.raises(StageFailed, match=r"out of memory: .* make fewer or smaller images") as caught:
        handler(of(sd, "large"), b"", context)
    assert (caught.value.reason, caught.value.retriable) == ("OutOfMemory", True)
    assert isinstance(handler(of(sd, "large"), b"", Seen().context()), Pictures)
