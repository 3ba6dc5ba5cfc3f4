"""What follows from a family alone is worked out once while the family is the same: decisions are many, families
few."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from rise_contracts.resources import ModelFamily

T = TypeVar("T")


def per_family(function: Callable[[ModelFamily], T]) -> Callable[[ModelFamily], T]:
    """Keep the last answer for each family's name, as long as it is asked for with the very same object."""
    kept: dict[str, tuple[ModelFamily, T]] = {}

    @wraps(function)
    def remembered(family: ModelFamily) -> T:
        known = kept.get(family.metadata.name)
        if known is None or known[0] is not family:
            known = kept[family.metadata.name] = family, function(family)
        return known[1]

    return remembered
