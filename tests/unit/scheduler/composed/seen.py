"""Outcomes for the composed policy's tests; every test states what it changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rise_scheduler.composed.knowledge import Knowledge, Learning, Observation, learned

HOW = Learning()


def seen(decision_id: str = "d1", **changes: Any) -> Observation:
    """A relay of `large` (edge) and `finisher` (device) that took what the formula said and was judged 0.1 above what
    sizes and steps let expect."""
    values: dict[str, Any] = {
        "decision_id": decision_id,
        "clock": 0,
        "arm": "large:6@1.2+finisher:6",
        "kind": "relay",
        "members": ("large", "finisher"),
        "pool": "edge",
        "features": {
            "one": 1.0,
            "head=large": 1.0,
            "tail=finisher": 1.0,
            "arm=large:6@1.2+finisher:6": 1.0,
            "effort:large": 0.9,
        },
        "base_quality": 0.7,
        "reference_s": 2.0,
        "keys": ("edge/large", "device/finisher"),
        "predicted": (0.6, 0.12),
        "waits": (0.0, 0.0),
        "moves": (0.01,),
        "latency_s": 0.73,
        "seconds": (0.6, 0.12),
        "wait_s": 0.0,
        "quality": 0.8,
    }
    return Observation(**(values | changes))


def after(outcomes: Iterable[Observation], how: Learning = HOW, known: Knowledge | None = None) -> Knowledge:
    """What is known once these came in, in this order."""
    known = known or Knowledge()
    for outcome in outcomes:
        known = learned(known, outcome, how)
    return known
