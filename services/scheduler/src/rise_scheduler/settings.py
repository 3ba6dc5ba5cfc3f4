"""What a scheduler process is started with: flags, or else RISE_ variables, or else these defaults."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rise_contracts.decisions import POLICIES
from rise_contracts.errors import InvalidInput
from rise_runtime import access, guard, telemetry
from rise_runtime.access import NOBODY, Access
from rise_runtime.guard import OPEN, Guard
from rise_scheduler.composed.knowledge import Learning
from rise_scheduler.composed.policy import ComposedPolicy
from rise_scheduler.http.exposure import check_exposure
from rise_scheduler.policies import FixedPolicy, LinUcbPolicy, Policy


@dataclass(frozen=True, slots=True)
class Settings:
    """``access`` and ``http_guard`` come from the environment only: every user of the machine sees command lines.

    ``http`` is where HTTP is served, (host, port); None: nowhere. ``prior_folder`` holds files such as those of
    ``priors``, each called like its family; where both have one, that of ``priors`` counts.
    """

    nats_url: str = "nats://127.0.0.1:4222"
    access: Access = NOBODY
    policy: str = POLICIES[0]
    alpha: float | None = None
    ridge: float = 1.0
    epsilon: float = 0.0
    band: float = 0.05
    reference_seconds: float = 5.0
    families: tuple[Path, ...] = ()
    priors: Mapping[str, Path] = field(default_factory=dict)
    prior_folder: Path | None = None
    patience: float = 10.0
    http: tuple[str, int] | None = None
    http_guard: Guard = OPEN

    def make_policy(self, learning: Learning) -> Policy:
        """The policy these settings name; one that learns quality and latency apart does so as ``learning`` says."""
        if self.policy == "fixed":
            return FixedPolicy()
        if self.policy == "composed":
            composed = ComposedPolicy(learning, epsilon=self.epsilon, band=self.band)
            return composed if self.alpha is None else replace(composed, alpha=self.alpha)
        linucb = LinUcbPolicy(ridge=self.ridge, epsilon=self.epsilon, band=self.band)
        return linucb if self.alpha is None else replace(linucb, alpha=self.alpha)


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Read the settings. Raises InvalidInput for a value out of range; argparse ends the process for an unknown one."""
    default = Settings()
    parser = argparse.ArgumentParser(prog="rise_scheduler", description="Answers jobs with relay configurations.")
    parser.add_argument("--nats-url", default=environment.get("RISE_NATS_URL", default.nats_url))
    parser.add_argument("--policy", choices=POLICIES, default=environment.get("RISE_POLICY", default.policy))
    parser.add_argument("--alpha", type=float, help="weight of the width (linucb 0.02, composed 0.2)")
    parser.add_argument("--ridge", type=float, default=default.ridge, help="linucb: precision of the prior (1)")
    parser.add_argument(
        "--epsilon", type=float, default=default.epsilon, help="share of choices to draw in the band (0)"
    )
    parser.add_argument("--band", type=float, default=default.band, help="score range to draw in (0.05)")
    parser.add_argument(
        "--reference-seconds",
        type=float,
        default=default.reference_seconds,
        help="latency of one image that costs half the speed weight, until the base member was measured (5)",
    )
    parser.add_argument("--family", action="append", default=[], type=Path, help="a ModelFamily manifest to publish")
    parser.add_argument(
        "--prior", action="append", default=[], help="FAMILY=FILE: what is known of its qualities before any outcome"
    )
    parser.add_argument(
        "--priors", default=environment.get("RISE_PRIORS", ""), help="a folder of such files, each called FAMILY.npz"
    )
    parser.add_argument("--patience", type=float, default=default.patience, help="seconds to wait for NATS (10)")
    parser.add_argument("--http", default=environment.get("RISE_HTTP", ""), help="serve HTTP too, at port or host:port")
    given = parser.parse_args(list(arguments))
    settings = Settings(
        nats_url=given.nats_url,
        access=access.from_environment(environment),
        policy=given.policy,
        alpha=None if given.alpha is None else _in_range("alpha", given.alpha, 0.0, 100.0),
        ridge=_in_range("ridge", given.ridge, 1e-9, 1e9),
        epsilon=_in_range("epsilon", given.epsilon, 0.0, 1.0),
        band=_in_range("band", given.band, 0.0, 2.0),
        reference_seconds=_in_range("reference-seconds", given.reference_seconds, 1e-6, 1e6),
        families=tuple(given.family),
        priors=dict(_named_file(text) for text in given.prior),
        prior_folder=Path(given.priors) if given.priors else None,
        patience=_in_range("patience", given.patience, 0.0, 3600.0),
        http=telemetry.read_address("RISE_HTTP", given.http),
        http_guard=guard.read("RISE_HTTP", environment),
    )
    if settings.http is not None:
        check_exposure(settings.http[0], settings.http_guard)
    if settings.policy not in POLICIES:
        raise InvalidInput("RISE_POLICY", f"one of {', '.join(POLICIES)}", settings.policy)
    return settings


def _named_file(text: str) -> tuple[str, Path]:
    name, _, file = text.partition("=")
    if not name or not file:
        raise InvalidInput("--prior", "FAMILY=FILE", text)
    return name, Path(file)


def _in_range(name: str, value: float, low: float, high: float) -> float:
    if not math.isfinite(value) or not low <= value <= high:
        raise InvalidInput(f"--{name}", f"a number from {low:g} to {high:g}", value)
    return value
