"""How much memory a process has had at its height, and what loading adds to it: measured by the kernel. Linux.

``python -m benchmarks._resident FOLDER SUBFOLDER PRECISION`` loads one component in a process of its own, reads every
weight of it once, and prints by how much the process grew at most, and what the weights weigh, in bytes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Grown:
    """What loading a component took.

    Attributes:
        weights: bytes of the component, as it was asked for.
        most: by how many bytes the process was larger than before, at its height.
    """

    weights: int
    most: int

    @property
    def times(self) -> float:
        """1 is every weight once."""
        return self.most / self.weights


def peak_bytes(pid: int | None = None) -> int:
    """The most that this process has been resident with since `forget_peak`, or another since its start."""
    return _status("VmHWM", STATUS if pid is None else Path(f"/proc/{pid}/status"))


def forget_peak() -> int:
    """Begin anew with what is resident now, which is returned."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def loading(folder: Path, subfolder: str, precision: str) -> Grown:
    """What loading a component takes, in a process of its own."""
    command = (sys.executable, "-m", "benchmarks._resident", str(folder), subfolder, precision)
    return Grown(**json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def _status(field: str, file: Path = STATUS) -> int:
    line = next(line for line in file.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def _load(folder: Path, subfolder: str, precision: str) -> Grown:
    import torch
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers import CLIPTextModelWithProjection

    from rise_stage.engine.engine import DTYPES
    from rise_stage.engine.families.components import read_network, read_text_encoder
    from rise_stage.engine.parts import weight_of
    from rise_stage.quiet import quiet

    quiet()
    before = forget_peak()
    if subfolder == "unet":
        model = read_network(UNet2DConditionModel, folder, subfolder, None, DTYPES[precision])
    else:
        model = read_text_encoder(CLIPTextModelWithProjection, folder, subfolder, None, DTYPES[precision])
    with torch.inference_mode():
        # What is mapped is resident only once it has been read.
        _ = [float(weight.sum()) for weight in model.parameters()]
    return Grown(weight_of(model), peak_bytes() - before)


if __name__ == "__main__":
    grown = _load(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
    print(json.dumps({"weights": grown.weights, "most": grown.most}))
