"""``python -m rise_scheduler``."""

import os

# One small matrix after another: the threads of a linear algebra library would wait for each other and for other
# processes, which made a decision twenty times as slow on two busy cores. It reads this once, as it is loaded.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from rise_scheduler.app import main  # noqa: E402

raise SystemExit(main())
