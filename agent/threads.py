"""Ending things that may not end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


def run_with_timeout(timeout_s: float, action: Callable[[], None], what: str) -> bool:
    """Do ``action`` in a thread of its own; False where it has not ended after ``timeout_s`` seconds.

    It is left behind then, and said in the log. What it raises in time is raised here.
    """
    raised: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits, or in the log
            raised.append(error)

    thread = threading.Thread(target=run, name=f"ending {what}", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        logger.error("%s did not end within %g s; it is left behind", what, timeout_s)
        return False
    if raised:
        raise raised[0]
    return True
