"""The two base classes of everything that crosses a process boundary."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", max_length=63)]
"""A DNS label: safe as a Kubernetes name, as a token of a NATS subject and as a file name."""

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Sigma = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Noise level in VE convention, x = x0 + sigma * noise."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", max_length=64)]
Tier = Literal["edge", "device"]
Solver = Literal["euler", "heun", "ddim", "dpmpp_2m", "unipc"]
Grid = Literal["family", "trailing", "linspace", "leading", "karras", "logsnr", "beta"]
"""How the noise levels of a stage are spaced; "family" is as the family's scheduler_config.json says."""
WireDtype = Literal["fp32", "fp16", "bf16", "q8"]
DEFAULT_WIRE: Final = "fp16"
"""What latents are handed over in where nobody says."""


class Resource(BaseModel):
    """A part of a manifest: camelCase outside, unknown fields refused, immutable."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        alias_generator=to_camel,
        populate_by_name=True,
        protected_namespaces=(),
    )


class Message(BaseModel):
    """What travels between Rise processes: snake_case, immutable, versioned; made with known fields alone.

    A receiver refuses a version it does not know, instead of guessing, and passes over a field that it does not know
    (see `codec`). Numbers are finite: JSON has no others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    version: Literal[1] = 1


class Part(BaseModel):
    """A piece of a message, without a version of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())
