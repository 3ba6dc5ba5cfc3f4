"""``python -m rise_scheduler``."""

from rise_scheduler.app import main

raise SystemExit(main())
