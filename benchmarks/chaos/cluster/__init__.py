"""The fault matrix through the front door "RelayJob": a control plane, operators and workers, each a real process.

`run` is all that the command needs; the tests in tests/cluster/chaos run some of the same cells.
"""

from __future__ import annotations

from benchmarks.chaos.cluster.run import run

__all__ = ["run"]
