"""The evaluation of the scheduler's policies: worlds that hide their truth, players, and what is counted.

``rise bench scheduler`` (``benchmarks/scheduler.py``) puts them together. A *world* (synthetic in ``truth``, resampled
from measured runs in ``measured``) says what every arm would have given for every job; a *player* is a policy with its
memory, and sees no more than the product's scheduler would.
"""
