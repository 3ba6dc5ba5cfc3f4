"""A stage worker on a slower machine than this one: ``python -m benchmarks.demo.paced_stage --tier edge …``.

It is the real worker, with the same flags; but each of its forward passes takes at least so many seconds as the file
named by `RISE_DEMO_PACE` says under the worker's name, read anew at every pass. A pass that ends sooner waits; so what
else this machine does shows little. Like a real slower machine the worker finds its pace out only by its own clock: all
that it measures and reports contains the waiting.
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
    pace_s: float
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.perf_counter

    def __call__(self, *inputs: Tensor) -> Tensor:
        began = self.clock()
        output = self.network(*inputs)
        self.sleep(max(0.0, self.pace_s - (self.clock() - began)))
        return output

    def row_bytes(self, *inputs: Tensor) -> int:
        return self.network.row_bytes(*inputs)


class PacedBatch(Batch):
    """Passes that take their time, whatever number of rows they have: as on an accelerator that is not full."""

    def __init__(self, pace: Callable[[], float]) -> None:
        super().__init__()
        self._pace = pace

    def forward(self, asks: Sequence[Ask]) -> list[Answer | Exception]:
        pace_s = self._pace()
        return super().forward([replace(ask, network=Paced(ask.network, pace_s)) for ask in asks])


def pace_of(file: Path, worker: str) -> float:
    """The least seconds of a pass of this worker now; 0 where the file does not name it."""
    return float(json.loads(file.read_text()).get(worker, 0.0))


def main(arguments: Sequence[str]) -> int:
    """Work until told to stop; the exit code."""
    try:
        telemetry.configure_logging()
        chosen = settings.read(arguments, os.environ)
        file, name = Path(os.environ[VARIABLE]), chosen.identity.name
        families = [read_family(family) for family in chosen.families]
        asyncio.run(serving.run(chosen, families, PacedBatch(lambda: pace_of(file, name))))
    except RiseError as error:
        sys.stderr.write(f"paced_stage: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
