"""``python -m rise_stage``."""

from rise_runtime.signals import leave
from rise_stage.app import main

leave(main())
