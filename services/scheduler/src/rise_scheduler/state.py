"""What may be wrong with a record of what was learned."""

from __future__ import annotations

from rise_contracts.errors import RiseError


class StateRefused(RiseError):
    """Stored state that cannot be read. ``newer`` tells a record of a later release (leave it alone) from a damaged
    one.
    """

    exit_code = 10

    def __init__(self, message: str, *, newer: bool = False) -> None:
        self.newer = newer
        super().__init__(message)


def check_schema(schema: object, reads: int) -> None:
    """Raise StateRefused for a record of a later release than one that ``reads`` schemas up to this."""
    if isinstance(schema, int) and schema > reads:
        raise StateRefused(
            f"the learned state has schema {schema}, this scheduler reads up to {reads}; run a newer release",
            newer=True,
        )
