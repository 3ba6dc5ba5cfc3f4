"""Whose a pool is: namespaces are tenants, and a pool's name on the bus says whose it is.

The name, and not a label of its workers: workers are not believed, and what a worker may take from the bus is bound to
the name of its pool. A pool in the operator's own namespace is the platform's, and serves everybody: that is how pools
are shared on purpose. Families, which have no namespace, are shared too.
"""

from __future__ import annotations

import hashlib
from typing import Final

from rise_contracts.model import Tier

LONGEST: Final = 50
"""Characters of a pool's name on the bus."""
_MARK: Final = "ns-"
_TENANT: Final = 10
_POOL: Final = 8


def pool_on_bus(namespace: str, name: str, home: str) -> str:
    """The name of a StagePool on the bus. `home` is the operator's namespace; a pool there keeps its own name, unless
    it is too long, or begins as those of tenants do."""
    told_apart = _digest(f"{namespace}/{name}", _POOL)
    if namespace == home:
        short = len(name) <= LONGEST and not name.startswith(_MARK)
        return name if short else f"home-{name[: LONGEST - _POOL - 6].rstrip('-')}-{told_apart}"
    before = _before(namespace)
    return f"{before}{name[: LONGEST - len(before) - _POOL - 1].rstrip('-')}-{told_apart}"


def dedicated_on_bus(namespace: str, tier: Tier, home: str) -> str:
    """The pool of the pods in a namespace that are there for one job each. No StagePool has this name in a tenant's
    namespace, where all others end in a digest."""
    before = "" if namespace == home else _before(namespace)
    return f"{before}dedicated-{tier}"


def serves(pool: str, namespace: str | None) -> bool:
    """Whether a pool is there for the jobs of a namespace; None: of no namespace, as those that the CLI hands in."""
    return not pool.startswith(_MARK) or (namespace is not None and pool.startswith(_before(namespace)))


def _before(namespace: str) -> str:
    return f"{_MARK}{_digest(namespace, _TENANT)}-"


def _digest(text: str, characters: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:characters]
