"""``python -m rise_stage.scoring``."""

from rise_runtime.signals import leave
from rise_stage.scoring.app import main

leave(main())
