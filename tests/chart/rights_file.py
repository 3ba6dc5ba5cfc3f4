"""The lists of rights as the chart reads them, from `rise_contracts.rights`: `python -m tests.chart.rights_file` writes
them anew, and a test holds the two equal. Helm puts pool and name in.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from rise_contracts.rights import ROLES, Principal, rights_of
from tests.chart.charts import CHART

FILE = CHART / "files" / "nats-rights.json"
POOL, NAME = "<pool>", "<name>"


def text() -> str:
    """A list for each role, one for devices that are somebody's own, and one for all of a pool together."""
    everybody: dict[str, Principal] = {
        **{role: Principal(role) for role in ROLES},
        "edge": Principal("edge", "*", "*"),
        "device": Principal("device", POOL, NAME),
        "private": Principal("device", POOL, NAME, private=True),
        "devices": Principal("device", POOL, "*"),
    }
    lists = {known: asdict(rights_of(who)) for known, who in everybody.items()}
    return json.dumps(lists, indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
