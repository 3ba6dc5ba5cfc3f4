"""Run a module by a clock that is wrong: ``python -m benchmarks.chaos.skewed SECONDS MODULE [ARGUMENT …]``.

The clock of the calendar alone, as where a machine's time is set wrong; intervals are as long as ever.
"""

from __future__ import annotations

import runpy
import sys
import time


def skew(seconds: float) -> None:
    """From now on, this process's time of day is that much ahead."""
    right, right_ns = time.time, time.time_ns
    time.time = lambda: right() + seconds
    time.time_ns = lambda: right_ns() + int(seconds * 1e9)


if __name__ == "__main__":
    skew(float(sys.argv[1]))
    module = sys.argv[2]
    sys.argv[:] = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
