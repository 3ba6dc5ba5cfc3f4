"""The words every part of Rise speaks: resources, messages, subjects, errors.

No I/O happens here, and neither torch nor NATS is imported: whatever can be decided about a job by looking at
values alone may live here, and everything else lives in the packages above.

Import the modules, not the names: ``from rise_contracts import messages`` and then ``messages.StageTask``.
"""
