"""The quick import gives the same engine, leaves no stand-in behind, and gives way where it does not work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rise_contracts.resources import ModelFamily
from tests.model.conftest import folder_of

QUICK = """
import hashlib, sys
from pathlib import Path
from rise_stage import lean
if sys.argv[2] == "broken":
    lean.BARE = (*lean.BARE, "diffusers.models.modeling_utils")
lean.preload()
print("compiler" if "torch._dynamo.utils" in sys.modules else "no compiler")
for name in (*lean.ABSENT, *lean.BARE, lean.COMPILER):
    module = sys.modules.get(name, sys)
    assert module is not None and getattr(module, "__file__", "") is not None, name
from rise_stage.engine import Engine
from tests.model.tiny import manifest
latents = Engine.load(manifest(Path(sys.argv[1]))).generate(["a red dot"], [3], "large:3@1.2+small:3").latents
print(hashlib.sha256(latents.numpy().tobytes()).hexdigest())
import torch._dynamo
from diffusers import FluxTransformer2DModel, StableDiffusionPipeline
assert torch._dynamo.__file__
assert StableDiffusionPipeline.from_pretrained(sys.argv[1], use_safetensors=True).unet is not None
"""


def run(folder: Path, how: str) -> list[str]:
    command = [sys.executable, "-W", "ignore", "-c", QUICK, str(folder), how]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split("\n")[:2]


def test_the_quick_import_and_the_plain_one_compute_the_same(sd: ModelFamily) -> None:
    quick = run(folder_of(sd), "quick")
    plain = run(folder_of(sd), "broken")
    assert quick[0] == "no compiler"
    assert plain[0] == "compiler"
    assert quick[1] == plain[1]
