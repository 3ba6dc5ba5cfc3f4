"""``python -m rise_stage``."""

from rise_stage.app import main

raise SystemExit(main())
