from __future__ import annotations

import io
import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_scheduler.composed.knowledge import Knowledge
from rise_scheduler.composed.knowledge_npz import SCHEMA, dump, load
from rise_scheduler.state import StateRefused
from tests.unit.scheduler.composed.seen import after, seen

KNOWN = after(
    [seen(str(i), clock=i, quality=0.5 + 0.01 * i) for i in range(20)]
    + [seen("f", clock=20, failed=True, quality=None), seen("late", clock=20, quality=None)]
)


ARRAYS = ("quality.xtx", "quality.rx", "seconds.xtx", "seconds.rx")


def ridge(**changes: Any) -> dict[str, Any]:
    """The header of the quality's sums with other values."""
    return {"features": list(KNOWN.quality.names), "n": 20.0, "clock": 20} | changes


def changed(**header: Any) -> bytes:
    """The record with other values in its header."""
    with np.load(io.BytesIO(dump(KNOWN)), allow_pickle=False) as archive:
        values = json.loads(archive["header"].tobytes()) | header
        arrays = {name: archive[name] for name in ARRAYS}
    buffer = io.BytesIO()
    np.savez(buffer, header=np.frombuffer(json.dumps(values).encode(), np.uint8), **arrays)
    return buffer.getvalue()


def with_arrays(**arrays: Any) -> bytes:
    with np.load(io.BytesIO(dump(KNOWN)), allow_pickle=False) as archive:
        values = {name: archive[name] for name in ("header", *ARRAYS)} | arrays
    buffer = io.BytesIO()
    np.savez(buffer, **values)
    return buffer.getvalue()


@pytest.mark.parametrize("known", [KNOWN, Knowledge()])
def test_a_record_comes_back_as_it_was(known: Knowledge) -> None:
    back = load(dump(known))
    assert (back.clock, back.levels, back.drifts, back.noise) == (known.clock, known.levels, known.drifts, known.noise)
    assert dict(back.settled) == dict(known.settled)
    for one, two in ((back.quality, known.quality), (back.seconds, known.seconds)):
        assert (one.names, one.n, one.clock) == (two.names, two.n, two.clock)
        np.testing.assert_array_equal(one.xtx, two.xtx)
        np.testing.assert_array_equal(one.rx, two.rx)
    assert dump(back) == dump(known), "the same knowledge is the same bytes"


def test_a_newer_record_is_left_alone() -> None:
    with pytest.raises(StateRefused) as refused:
        load(changed(schema=SCHEMA + 1))
    assert refused.value.newer


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 no archive",
        dump(KNOWN)[:-40],
        changed(clock=-1),
        changed(clock="many"),
        changed(quality=ridge(features=["one"])),
        changed(quality=ridge(features=["one"] * 5)),
        changed(quality=ridge(n=float("1e999"))),
        changed(seconds={}),
        changed(levels={"x": [1.0, 2.0]}),
        changed(levels={"x": [-1.0, 2.0, 0]}),
        changed(levels=7),
        with_arrays(**{"quality.xtx": np.full(15, np.nan)}),
        with_arrays(**{"quality.xtx": -np.ones(15)}),
        with_arrays(**{"seconds.rx": np.zeros(3)}),
        with_arrays(header=np.frombuffer(b"{}", np.uint8)),
        with_arrays(header=np.array([{}], dtype=object)),
    ],
)
def test_a_damaged_record_is_refused(data: bytes) -> None:
    with pytest.raises(StateRefused) as refused:
        load(data)
    assert not refused.value.newer


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises(StateRefused):
        load(data)


@given(st.integers(0, len(dump(KNOWN)) - 1), st.integers(1, 255))
def test_a_byte_that_changed_does_no_more_than_that_either(place: int, flipped: int) -> None:
    data = bytearray(dump(KNOWN))
    data[place] ^= flipped
    with suppress(StateRefused):  # not every byte of an archive says something
        load(bytes(data))


def test_nothing_is_unpickled() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, header=np.array([print], dtype=object))
    with pytest.raises(StateRefused, match="pickle"):
        load(buffer.getvalue())
