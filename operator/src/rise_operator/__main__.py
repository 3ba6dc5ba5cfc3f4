"""``python -m rise_operator``."""

from rise_operator.app import main
from rise_runtime.signals import leave

leave(main())
