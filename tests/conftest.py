"""Fixtures that every ring may use."""

from __future__ import annotations

pytest_plugins = ["tests.rings", "tests.servers"]
