"""The process: settings and manifests, then the work.

What can be wrong with those is said before the model libraries are imported, which takes several seconds. Ends with
0 on SIGTERM or SIGINT, and with an error's exit code on one line.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from rise_contracts.errors import RiseError
from rise_runtime import telemetry
from rise_runtime.lastword import leave_word
from rise_stage import settings as settings_module
from rise_stage.manifests import BUS, read_family


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop; the exit code."""
    try:
        telemetry.configure_logging()
        chosen = settings_module.read(sys.argv[1:] if arguments is None else arguments, os.environ)
        families = [read_family(name) for name in chosen.families if not name.startswith(BUS)]
        from rise_stage.serving import run

        asyncio.run(run(chosen, families))
    except RiseError as error:
        sys.stderr.write(f"rise_stage: {error}\n")
        leave_word(error)
        return error.exit_code
    return 0
