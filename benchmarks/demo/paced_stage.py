"""A stage worker on a slower machine than this one: ``python -m benchmarks.demo.paced_stage --tier edge …``.

It is the real worker, with the same flags; but each of its forward passes ends so many seconds later as the file named
by `RISE_DEMO_PACE` says under the worker's name, read anew at every pass. Like a real slower machine it finds that out
only by its own clock: all that it measures and reports contains the pauses.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from torch import Tensor

from rise_contracts.errors import RiseError
from rise_runtime import telemetry
from rise_runtime.signals import leave
from rise_stage import serving, settings
from rise_stage.engine.batch import Answer, Ask, Batch, Network
from rise_stage.manifests import read_family

VARIABLE: Final = "RISE_DEMO_PACE"


@dataclass(frozen=True)
class Paced:
    """A network on a slower machine."""

    network: Network
    pause_s: float
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, *inputs: Tensor) -> Tensor:
        output = self.network(*inputs)
        self.sleep(self.pause_s)
        return output

    def row_bytes(self, *inputs: Tensor) -> int:
        return self.network.row_bytes(*inputs)


class PacedBatch(Batch):
    """Passes of which each takes longer, whatever number of rows it has: as on an accelerator that is not full."""

    def __init__(self, pause: Callable[[], float]) -> None:
        super().__init__()
        self._pause = pause

    def forward(self, asks: Sequence[Ask]) -> list[Answer | Exception]:
        pause_s = self._pause()
        return super().forward([replace(ask, network=Paced(ask.network, pause_s)) for ask in asks])


def pause_of(file: Path, worker: str) -> float:
    """Seconds that a pass of this worker takes longer now; 0 where the file does not name it."""
    return float(json.loads(file.read_text()).get(worker, 0.0))


def main(arguments: Sequence[str]) -> int:
    """Work until told to stop; the exit code."""
    try:
        telemetry.configure_logging()
        chosen = settings.read(arguments, os.environ)
        file, name = Path(os.environ[VARIABLE]), chosen.identity.name
        families = [read_family(family) for family in chosen.families]
        asyncio.run(serving.run(chosen, families, PacedBatch(lambda: pause_of(file, name))))
    except RiseError as error:
        sys.stderr.write(f"paced_stage: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
