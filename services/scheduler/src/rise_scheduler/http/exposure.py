"""Who can reach an address. Checked before anything is started, so it needs no web framework."""

from __future__ import annotations

from rise_contracts.errors import InvalidInput
from rise_runtime.guard import Guard, is_loopback


def check_exposure(host: str, guard: Guard) -> None:
    """Raise InvalidInput where strangers could reach a scheduler that asks for no credential."""
    if not guard.asks and not is_loopback(host):
        hint = f"set {guard.name}_TOKEN or {guard.name}_ACCOUNTS, or bind 127.0.0.1"
        raise InvalidInput("RISE_HTTP", "a loopback address, for there is no token", host, hint)
