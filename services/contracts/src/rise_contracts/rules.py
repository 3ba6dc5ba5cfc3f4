"""Rules that the API server checks by itself (CEL, `x-kubernetes-validations`), each beside the model that it is of.

Every rule has its counterpart among the validators of its model, but for those about changes (`oldSelf`), which only
the API server can see. Messages say what is allowed, for they are what a person reads after `kubectl apply`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ConfigDict


def rules(*pairs: tuple[str, str]) -> ConfigDict:
    """A model's configuration with rules, as (CEL expression that has to be true, message)."""
    stated: list[Any] = [{"rule": rule, "message": message} for rule, message in pairs]
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": stated})


def unchanged(*, always: Sequence[str] = (), maybe: Sequence[str] = (), kind: str) -> list[tuple[str, str]]:
    """Rules that keep fields as they were made. Those in `always` are there, for they have a default or are required;
    those in `maybe` that were not there have to stay away."""
    same = {name: f"self.{name} == oldSelf.{name}" for name in (*always, *maybe)}
    for name in maybe:
        same[name] = f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || {same[name]})"
    return [(rule, f"{name} cannot be changed once the {kind} is made; make another") for name, rule in same.items()]


_GIVEN = "self.stages.filter(s, has(s.untilSigma))"
_LAST = "self.stages[size(self.stages) - 1]"

STAGES = (
    (
        f"size(self.stages) == 0 || ({_GIVEN}.size() == size(self.stages) - 1 && !has({_LAST}.untilSigma))",
        "every stage but the last needs untilSigma, the noise level at which it hands over, and the last has none",
    ),
    (
        f"{_GIVEN}.map(s, 0.0 - s.untilSigma).isSorted()"
        f" && {_GIVEN}.all(s, {_GIVEN}.exists_one(t, t.untilSigma == s.untilSigma))",
        "untilSigma must fall from stage to stage",
    ),
)
"""Of a list of stages, wherever it is."""


LABEL = "([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
"""The name of a label: a regular expression for the API server and for Python."""


def labels(field: str) -> tuple[tuple[str, str], ...]:
    """Rules for a map of labels under `field`."""
    return (
        (
            f"!has(self.{field}) || self.{field}.all(k, k.matches('^{LABEL}$'))",
            f"the keys of {field} must be names of labels: letters, digits, -, _ and ., with a prefix/ or without",
        ),
    )
