"""``python -m rise_stage``."""

from rise_stage.lean import preload

preload()

from rise_stage.app import main  # noqa: E402 - the libraries that app imports were just imported in the quick way

raise SystemExit(main())
