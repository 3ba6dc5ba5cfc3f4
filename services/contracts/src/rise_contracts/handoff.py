"""The handoff contract, version 1: what travels beside a half-denoised latent.

The latent is in VE form, x = x0 + sigma * noise, whatever the family's own parameterisation is. The payload is
safetensors: tensor ``x`` of `shape`, its scales where the dtype is 8-bit, and the solver's history.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import Field

from rise_contracts import errors
from rise_contracts.model import Name, Part, Sha256, Solver, WireDtype
from rise_contracts.subjects import PAYLOAD_LIMIT

CONTRACT_VERSION: Literal[1] = 1


class HandoffHeader(Part):
    contract_version: Literal[1] = CONTRACT_VERSION
    job: str = Field(min_length=1, max_length=64)
    attempt: int = Field(ge=1)
    stage: int = Field(ge=0, le=7, description="index of the stage that made this handoff")
    family: Name
    latent_contract: Sha256
    encoding: Literal["vp"] = "vp"
    sigma: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    shape: Annotated[tuple[int, ...], Field(min_length=1, max_length=6)]
    dtype: WireDtype
    solver: Solver
    solver_state: tuple[str, ...] = ()
    sha256: Sha256
    nbytes: int = Field(ge=1, le=PAYLOAD_LIMIT)


def check_payload(header: HandoffHeader, payload: bytes) -> None:
    """Raise HandoffRefused unless `payload` has the size and digest its header states."""
    if len(payload) != header.nbytes:
        raise errors.HandoffRefused(errors.Refusal.SIZE, f"{header.nbytes} bytes", f"{len(payload)} bytes")
    digest = hashlib.sha256(payload).hexdigest()
    if digest != header.sha256:
        raise errors.HandoffRefused(errors.Refusal.DIGEST, header.sha256, digest)
