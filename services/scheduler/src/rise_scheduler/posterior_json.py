"""The posterior as JSON and back. Strict: a number that is not finite, a wrong shape or a newer schema is refused by
name.

A record of other features is mapped by feature name: the sums over the features both know are exactly right as they
are, and a feature that is new starts without evidence.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from rise_scheduler.posterior import ArmSums, Array, Posterior, Settled
from rise_scheduler.state import StateRefused, check_schema

SCHEMA = 1


def dump(posterior: Posterior) -> bytes:
    """The record as JSON text; floats are written so that they read back as the same float."""
    arms = {
        name: {"n": s.n, "xtx": s.xtx.tolist(), "rx": s.rx.tolist(), "quality": [s.quality_sum, s.quality_n]}
        for name, s in posterior.arms.items()
    }
    record = {
        "schema": SCHEMA,
        "features": list(posterior.features),
        "reference_s": posterior.reference_s,
        "arms": arms,
        "settled": {key: [value.quality, value.final] for key, value in posterior.settled.items()},
    }
    return json.dumps(record, allow_nan=False, separators=(",", ":")).encode()


def load(data: bytes, features: tuple[str, ...]) -> Posterior:
    """Read a record for a scheduler that uses ``features``. Raises StateRefused."""
    try:
        record = json.loads(data)
        check_schema(record["schema"], SCHEMA)
        stored = tuple(str(name) for name in record["features"])
        posterior = Posterior(
            features,
            {str(name): _sums(value, stored, features) for name, value in record["arms"].items()},
            {str(key): Settled(_finite(value[0]), bool(value[1])) for key, value in record["settled"].items()},
            None if record["reference_s"] is None else _positive(record["reference_s"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise StateRefused(f"the learned state is damaged ({type(error).__name__}: {error})") from error
    return posterior


def _sums(value: dict[str, Any], stored: tuple[str, ...], wanted: tuple[str, ...]) -> ArmSums:
    dim = len(stored)
    xtx = _array(value["xtx"], (dim, dim))
    rx = _array(value["rx"], (dim,))
    if not np.array_equal(xtx, xtx.T) or (np.linalg.eigvalsh(xtx) < -1e-6 * max(1.0, float(np.trace(xtx)))).any():
        raise ValueError("xtx is not symmetric and positive semi-definite")
    if stored != wanted:
        xtx, rx = _mapped(xtx, rx, stored, wanted)
    quality_sum, quality_n = value["quality"]
    return ArmSums(xtx, rx, int(value["n"]), _finite(quality_sum), int(quality_n))


def _mapped(xtx: Array, rx: Array, stored: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[Array, Array]:
    pairs = [(new, stored.index(name)) for new, name in enumerate(wanted) if name in stored]
    new, old = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    out_xtx, out_rx = np.zeros((len(wanted), len(wanted))), np.zeros(len(wanted))
    out_xtx[np.ix_(new, new)] = xtx[np.ix_(old, old)]
    out_rx[new] = rx[old]
    return out_xtx, out_rx


def _array(value: object, shape: tuple[int, ...]) -> Array:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"wanted finite numbers of shape {shape}, got shape {array.shape}")
    return array


def _finite(value: object) -> float:
    return float(_array(value, ()))


def _positive(value: object) -> float:
    number = _finite(value)
    if number <= 0:
        raise ValueError(f"wanted a number above 0, got {number}")
    return number
