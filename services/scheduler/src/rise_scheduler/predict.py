"""Latency by formula, from what the workers measured: waiting + loading + steps x seconds per step x images, and the
handoffs between.

    T = sum over stages of (wait + load + steps x s/step x images) + sum over handoffs of (round trips + bytes / rate)

A stage waits for as many tasks like itself as the workers report; where somebody reckons the seconds of work before it,
for the mean of both: reports are a second old, and reckonings do not see others' work.

Encoding the prompt and decoding the picture are not in it (heartbeats do not state them), so a prediction is a little
low for very short jobs. A stage whose member nobody has measured yet makes the sums None: an unknown number is not
guessed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from rise_contracts.frames import frames_of, latent_frames
from rise_contracts.messages import Predictions
from rise_contracts.model import WireDtype
from rise_contracts.resources import ModelFamily, RelayJobSpec
from rise_scheduler.arm import ArmPart
from rise_scheduler.place import Place

_BYTES: dict[WireDtype, int] = {"fp32": 4, "fp16": 2, "bf16": 2, "q8": 1}


class Forecast(NamedTuple):
    """Seconds, by stage and in all. None is "not measured yet".

    ``waits`` is what each stage waits for others' work (0 where its own seconds are unknown), ``moves`` what each
    handoff takes: one less than stages. ``loads`` is what loading each stage's member takes, ``edge_load_s`` that at
    the edge, ``load_variance`` the variance of all (seconds squared). ``spreads`` by stage is the variance of the
    logarithm of its pace. ``beside`` the stages there are waits, moves and loads together.
    """

    stage_seconds: tuple[float | None, ...]
    waits: tuple[float, ...]
    moves: tuple[float, ...]
    latency_s: float | None
    edge_s: float | None
    loads: tuple[float, ...]
    edge_load_s: float
    load_variance: float
    spreads: tuple[float, ...]
    beside: float

    def predictions(self, quality: float, latency_s: float | None = None) -> Predictions:
        """The message form, with the latency that somebody learned better than the formula knows, if one did."""
        return Predictions.model_validate(self.told(quality, latency_s))

    def told(self, quality: float, latency_s: float | None = None) -> dict[str, Any]:
        """The fields of the message form, not validated yet."""
        stages = self.stage_seconds
        return {
            "latency_s": self.latency_s if latency_s is None else latency_s,
            "edge_s": self.edge_s,
            "quality": quality,
            "stage_seconds": () if None in stages else stages,
            "load_s": sum(self.loads),
        }


def latent_bytes(spec: RelayJobSpec, family: ModelFamily, dtype: WireDtype) -> int:
    """Size of the latents of a job on the wire, all images. Four channels at an eighth of the side where the family
    says nothing.
    """
    latent = family.spec.latent
    channels, downscale = (latent.channels, latent.downscale) if latent else (4, 8)
    width, height = (side or family.spec.default_size for side in (spec.width, spec.height))
    cells = math.ceil(width / downscale) * math.ceil(height / downscale) * latent_frames(frames_of(family, spec.frames))
    return channels * cells * _BYTES[dtype] * spec.images


def forecast(parts: Sequence[ArmPart], places: Sequence[Place], images: int, handoff_bytes: int) -> Forecast:
    """Predict a job of ``images`` that runs ``parts`` at ``places``, with ``handoff_bytes`` between stages that are
    apart.
    """
    stages: list[float | None] = []
    waits, denoising, edge, edge_load, measured = [], 0.0, 0.0, 0.0, True
    for part, place in zip(parts, places, strict=True):
        pace = place.seconds_per_step
        seconds = None if pace is None else part.steps * pace * images
        stages.append(seconds)
        waits.append(_wait(place, seconds))
        if seconds is None:
            measured = False
            seconds = 0.0
        denoising += seconds
        if place.tier == "edge":
            edge += seconds
            edge_load += place.load.seconds
    moves = [_transfer(sender, receiver, handoff_bytes) for sender, receiver in pairwise(places)]
    loads = [place.load.seconds for place in places]
    beside = sum(waits) + sum(moves) + sum(loads)
    return Forecast(
        stage_seconds=tuple(stages),
        waits=tuple(waits),
        moves=tuple(moves),
        latency_s=beside + denoising if measured else None,
        edge_s=edge_load + edge if measured else None,
        beside=beside,
        loads=tuple(loads),
        edge_load_s=edge_load,
        load_variance=sum([place.load.variance for place in places]),
        spreads=tuple([place.pace_variance for place in places]),
    )


def _wait(place: Place, seconds: float | None) -> float:
    reported = 0.0 if seconds is None else place.waiting * seconds
    return reported if place.backlog_s is None else 0.5 * (place.backlog_s + reported)


def _transfer(sender: Place, receiver: Place, nbytes: int) -> float:
    """Seconds for a handoff over the bus: a round trip on either side, and the bytes at the rate of whichever side
    knows one. 0 for what nobody has measured."""
    seconds, rate = 0.0, None
    for link in (sender.link, receiver.link):
        if link is not None:
            seconds += link.rtt_s
            rate = rate or link.bytes_per_s
    return seconds + nbytes / rate if rate else seconds
