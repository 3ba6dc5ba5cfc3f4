"""The composed policy's knowledge as bytes and back: NumPy's own archive (never a pickle), with a JSON header.

Features are stored by name, so a record made with other arms or members is read as it is, and mapped by name when it is
solved.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from rise_scheduler.composed.change import Drift
from rise_scheduler.composed.evidence import NAMES_KEPT, Level, Ridge
from rise_scheduler.composed.knowledge import Knowledge
from rise_scheduler.posterior import Array
from rise_scheduler.state import StateRefused, check_schema

SCHEMA = 1
_DAMAGE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    OSError,
    RuntimeError,  # zipfile: encrypted, or packed in a way that it does not know
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading bytes that are no archive, or no longer one, may raise."""


def dump(known: Knowledge) -> bytes:
    """The record; floats come back as the same floats."""
    header = {
        "schema": SCHEMA,
        "clock": known.clock,
        "quality": _ridge(known.quality),
        "seconds": _ridge(known.seconds),
        "levels": {name: _level(level) for name, level in known.levels.items()},
        "drifts": {name: [drift.low, drift.high, drift.alarms] for name, drift in known.drifts.items()},
        "noise": _level(known.noise),
        "settled": known.settled,
    }
    text = json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
    arrays = {**_arrays("quality", known.quality), **_arrays("seconds", known.seconds)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, header=np.frombuffer(text, np.uint8), **arrays)
    return buffer.getvalue()


def load(data: bytes) -> Knowledge:
    """Read a record. Raises StateRefused for one that is damaged, or of a newer release."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            header = json.loads(archive["header"].tobytes())
            check_schema(header["schema"], SCHEMA)
            return _read(header, archive)
    except _DAMAGE as error:
        raise StateRefused(f"the learned state is damaged ({type(error).__name__}: {error})") from error


def _read(header: dict[str, Any], arrays: Mapping[str, Array]) -> Knowledge:
    return Knowledge(
        clock=_count(header["clock"]),
        quality=_read_ridge("quality", header, arrays),
        seconds=_read_ridge("seconds", header, arrays),
        levels={str(name): _read_level(value) for name, value in header["levels"].items()},
        drifts={str(name): _read_drift(*value) for name, value in header["drifts"].items()},
        noise=_read_level(header["noise"]),
        settled={str(name): bool(value) for name, value in header["settled"].items()},
    )


def _ridge(ridge: Ridge) -> dict[str, Any]:
    return {"features": ridge.names, "n": ridge.n, "clock": ridge.clock}


def _arrays(name: str, ridge: Ridge) -> dict[str, Array]:
    # Half of a symmetric matrix says all.
    return {f"{name}.xtx": ridge.xtx[np.triu_indices(len(ridge.names))], f"{name}.rx": ridge.rx}


def _read_ridge(name: str, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Ridge:
    names = tuple(str(feature) for feature in header[name]["features"])
    upper, rx = arrays[f"{name}.xtx"], arrays[f"{name}.rx"]
    dim = len(names)
    if dim > NAMES_KEPT or len(set(names)) != dim:
        raise ValueError(f"wanted up to {NAMES_KEPT} features, each once, got {dim}")
    if upper.shape != (dim * (dim + 1) // 2,) or rx.shape != (dim,):
        raise ValueError(f"wanted sums over {dim} features, got shapes {upper.shape} and {rx.shape}")
    if not np.isfinite(upper).all() or not np.isfinite(rx).all():
        raise ValueError("a sum is not finite")
    half = np.zeros((dim, dim))
    half[np.triu_indices(dim)] = upper
    xtx = half + np.triu(half, 1).T
    if dim and np.linalg.eigvalsh(xtx)[0] < -1e-6 * max(1.0, float(np.trace(xtx))):
        raise ValueError("xtx is not positive semi-definite")
    return Ridge(names, xtx, rx.astype(np.float64), _finite(header[name]["n"]), _count(header[name]["clock"]))


def _level(level: Level) -> list[float]:
    return [level.n, level.total, level.clock]


def _read_level(value: Any) -> Level:
    n, total, clock = value
    if _finite(n) < 0:
        raise ValueError("a level has less than no evidence")
    return Level(float(n), _finite(total), _count(clock))


def _read_drift(low: Any, high: Any, alarms: Any) -> Drift:
    return Drift(_finite(low), _finite(high), _count(alarms))


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"wanted a finite number, got {number}")
    return number


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"wanted a count, got {value!r}")
    return value
