"""A cancellation that an error has hidden.

When a task is cancelled at the moment at which a child in its TaskGroup fails, Python before 3.13
raises the child's error alone. A loop that catches errors and goes on must ask whether it was
meant to end.
"""

from __future__ import annotations

import asyncio


def raise_if_cancelled() -> None:
    """CancelledError when somebody has asked this task to end."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
