"""Which jobs are in a sample. Pure: who asks, and when, does not matter."""

from __future__ import annotations

import hashlib


def is_sampled(what: str, job_id: str, share: float) -> bool:
    """Whether the job is in the sample of `share` (0 to 1) that is taken for `what`.

    Always the same answer: every process, now and after a restart, has one sample. A larger share holds the smaller
    one's jobs, and samples for two purposes have nothing to do with each other.
    """
    digest = hashlib.sha256(f"{what} {job_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
