"""The scheduler: answers each job with a relay configuration and learns from what came of it.

Pure modules decide (``prompt``, ``context``, ``arms``, ``fixed_jobs``, ``fleet``, ``predict``, ``linucb``,
``posterior``, ``policies``, ``decide``, ``learn``); ``store``, ``service`` and ``app`` act. Nothing here imports
torch.
"""
