"""A family in the proportions of SDXL, SSD-1B and Vega, with 28 arms, and what a step of each member takes."""

from __future__ import annotations

from rise_contracts.resources import ModelFamily
from rise_scheduler.arm import Arm
from rise_scheduler.arms import canonical_arms

NAME = "synthetic"

STEP_S = {"full": 0.16, "half": 0.09, "light": 0.20, "tiny": 0.10, "finisher": 0.10}
"""Seconds per step: `full` and `half` on the edge's accelerators, the others on a device of slowness 1."""

_MEMBERS = [
    {"name": "full", "parameters": 2_567_000_000, "defaultSteps": 30, "tier": "edge"},
    {"name": "half", "parameters": 1_300_000_000, "defaultSteps": 24, "tier": "edge"},
    {"name": "light", "parameters": 745_000_000, "defaultSteps": 20, "tier": "device"},
    {"name": "tiny", "parameters": 320_000_000, "defaultSteps": 16, "tier": "device"},
    {"name": "finisher", "parameters": 745_000_000, "defaultSteps": 6, "sigmaMax": 2.0, "tier": "device"},
]
# Head steps at a handoff, then the tails that may follow it.
_CUTS: list[tuple[float, dict[str, int], list[tuple[str, int]]]] = [
    (4.0, {"full": 6, "half": 5}, [("light", 10), ("light", 6)]),
    (2.0, {"full": 9, "half": 7}, [("light", 8), ("finisher", 6), ("finisher", 3)]),
    (2.0, {"full": 5, "half": 4}, [("finisher", 6)]),
    (0.9, {"full": 14, "half": 11}, [("light", 6), ("finisher", 4), ("finisher", 2)]),
]


def family() -> ModelFamily:
    """The family; 18 relays beside six edge-only and four device-only arms."""
    relays = [
        {
            "name": f"{head}-{steps[head]}-{tail}-{rest}-{index}",
            "stages": [
                {"member": head, "steps": steps[head], "untilSigma": sigma},
                {"member": tail, "steps": rest},
            ],
        }
        for head in ("full", "half")
        for index, (sigma, steps, tails) in enumerate(_CUTS)
        for tail, rest in tails
    ]
    spec = {
        "base": {"hub": "example/synthetic"},
        "members": _MEMBERS,
        "latent": {"channels": 4, "downscale": 8, "scalingFactor": 0.13025},
        "defaultSize": 1024,
        "relays": relays,
    }
    return ModelFamily.model_validate({"metadata": {"name": NAME}, "spec": spec})


def arms() -> tuple[Arm, ...]:
    """All arms, in the product's own order."""
    return canonical_arms(family())
