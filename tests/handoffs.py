"""What handoffs say of themselves, where only their bytes matter."""

from __future__ import annotations

import hashlib

from rise_contracts.handoff import HandoffHeader


def header(job: str, state: bytes, attempt: int = 1, stage: int = 0) -> HandoffHeader:
    """The header of a handoff or checkpoint of these bytes."""
    return HandoffHeader(
        job=job,
        attempt=attempt,
        stage=stage,
        family="rise-shapes",
        latent_contract="0" * 64,
        sigma=1.0,
        shape=(1, 4, 16, 16),
        dtype="fp32",
        solver="euler",
        sha256=hashlib.sha256(state).hexdigest(),
        nbytes=len(state),
    )
