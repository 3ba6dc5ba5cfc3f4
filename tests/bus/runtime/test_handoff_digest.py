"""The digest in a handoff's header is that of the bytes on the wire, and is looked at once on each side."""

from __future__ import annotations

import os

import pytest

from rise_contracts import errors, messages
from rise_runtime import blobs, client, layout, tasks
from rise_runtime.bus import Bus
from tests import handoffs
from tests.bus.runtime import small


async def test_a_header_that_speaks_of_other_bytes_than_those_sent_is_refused(bus: Bus) -> None:
    """A handler need not look at the digest again: what the header states is what was received."""
    await layout.ensure(bus)
    job = await client.submit(bus, small.spec())
    payload = os.urandom(500)
    header = handoffs.header(job.job_id, payload)
    ref, behind = await blobs.send(bus, "device.any.RISE", job.job_id, "handoff", 1, payload, sha256=header.sha256)
    task = messages.StageTask(
        job_id=job.job_id,
        attempt=1,
        stage_index=1,
        request=job.request,
        configuration=small.RELAY,
        handoff=header,
        payload=ref,
    )
    assert await tasks.payload(bus, task, behind) == payload
    stranger = task.model_copy(update={"handoff": handoffs.header(job.job_id, bytes(500))})
    with pytest.raises(errors.HandoffRefused, match="digest"):
        await tasks.payload(bus, stranger, behind)
