"""Keep the model libraries from talking over the log: progress bars and advice meant for notebooks."""

from __future__ import annotations

import logging


def quiet() -> None:
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
    logging.getLogger("httpx").setLevel(logging.WARNING)
