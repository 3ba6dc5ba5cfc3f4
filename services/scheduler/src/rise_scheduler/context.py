"""What a decision looks at, as a vector: bias, prompt complexity, preference, log bandwidth, edge load, device load.
Pure.
"""

from __future__ import annotations

import math

import numpy as np

from rise_scheduler.fleet import Fleet
from rise_scheduler.posterior import Array
from rise_scheduler.prompt import PromptFeatures

FEATURES = ("bias", "complexity", "preference", "log_bandwidth", "edge_load", "device_load")


def context_of(prompt: PromptFeatures, preference: float, fleet: Fleet) -> dict[str, float]:
    """The features by name, each within -1..1. The bandwidth is log10(MB/s) / 3, cut to that range; 0 where none was
    measured.
    """
    rate = fleet.bytes_per_s()
    bandwidth = 0.0 if rate is None else math.log10(rate / 1e6) / 3.0
    return {
        "bias": 1.0,
        "complexity": prompt.complexity,
        "preference": preference,
        "log_bandwidth": min(max(bandwidth, -1.0), 1.0),
        "edge_load": fleet.load("edge"),
        "device_load": fleet.load("device"),
    }


def vector(context: dict[str, float]) -> Array:
    """The context in the order of FEATURES, (6,) float64. Raises KeyError or ValueError for one that lacks or spoils
    a feature.
    """
    x = np.array([context[name] for name in FEATURES], dtype=np.float64)
    if not np.isfinite(x).all():
        raise ValueError(f"the context must be finite, got {context}")
    return x
