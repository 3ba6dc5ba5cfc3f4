"""Fixtures that every ring may use."""

from __future__ import annotations

import os

import hypothesis

# Matrices here are small: threads of the linear algebra would only wait for each other. It is read as NumPy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

pytest_plugins = ["tests.rings", "tests.servers"]

# How long one example takes is the machine's business: a busy one must not fail a property that holds.
hypothesis.settings.register_profile("rise", deadline=None)
hypothesis.settings.load_profile("rise")
