"""Who can reach an address. Checked before anything is started, so it needs no web framework."""

from __future__ import annotations

import ipaddress

from rise_contracts.errors import InvalidInput


def is_loopback(host: str) -> bool:
    """Whether `host` can be reached from this machine alone. A name other than localhost is not resolved, and counts
    as one that others reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, token: str | None) -> None:
    """Raise InvalidInput where strangers could reach a scheduler that asks for no token."""
    if token is None and not is_loopback(host):
        raise InvalidInput(
            "RISE_HTTP", "a loopback address, for there is no token", host, "set RISE_HTTP_TOKEN, or bind 127.0.0.1"
        )
