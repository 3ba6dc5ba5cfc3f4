"""Which devices have stored more than an honest one does."""

from __future__ import annotations

import pytest

from rise_contracts import subjects
from rise_runtime.bounds import beyond

LANES = (subjects.lane("phones", "ada"), subjects.lane("phones", None))


def chunks(writer: str | None, count: int) -> dict[str, int]:
    """Half of them in its own lane, half in the common one."""
    shelves = [subjects.shelf(lane, writer) for lane in LANES]
    return {f"{subjects.blob(shelves[n % 2], 'job-1', 'result', 1, 'ab')}.{n}": 1 for n in range(count)}


def test_who_has_more_than_there_is_room_for_is_named_with_what_he_has() -> None:
    there = chunks("ada", 11) | chunks("bob", 10) | chunks(None, 1000)
    assert beyond(there, 10) == {"ada": "11 chunks, of at most 10"}


def test_messages_are_counted_and_not_names() -> None:
    assert beyond({"rise.blobs.phones.any.ada.x": 11}, 10) == {"ada": "11 chunks, of at most 10"}


@pytest.mark.parametrize("rest", [">", "*.result.1.ab.0", "job-1.result.1.*.0"])
def test_no_honest_device_stores_under_a_name_that_stands_for_many(rest: str) -> None:
    assert beyond({f"rise.blobs.phones.any.ada.{rest}": 1}, 10) == {"ada": "chunks under a name that stands for many"}


@pytest.mark.parametrize(
    "subject", ["rise.blobs", "rise.blobs.phones.any", "rise.blobs.phones.any.*.x", "rise.blobs.KEPT.any.RISE.x"]
)
def test_nobody_is_named_by_what_is_no_devices_name(subject: str) -> None:
    assert beyond({subject: 11}, 10) == {}


def test_there_is_room_for_eight_of_the_largest_payloads() -> None:
    most = subjects.DEVICE_LIMIT // subjects.CHUNK
    assert beyond(chunks("ada", 8 * subjects.PAYLOAD_LIMIT // subjects.CHUNK), most) == {}
