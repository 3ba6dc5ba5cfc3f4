"""Who may do what on the bus. Pure: what a NATS server is configured with is written from this, by nobody's hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["operator", "scheduler", "judge", "auditor", "user", "edge", "device"]
WORKERS: tuple[Role, ...] = ("edge", "device")


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody with rights of their own. `pool` and `name` are a worker's; there "*" stands for any."""

    role: Role
    pool: str = ""
    name: str = ""

    @property
    def inbox(self) -> str:
        """What the subjects begin with on which it is answered, and nobody else listens."""
        return ".".join(part for part in ("_INBOX", self.role, self.pool, self.name) if part)
