"""``sightline`` that writes, on SIGUSR1, the names of its threads to a file.

Nothing else differs from the installed command. Run as ``python -m tests.chaos.watched run --config FILE``.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

VARIABLE = "CHAOS_THREADS"


def _write(_number: int, _frame: object) -> None:
    target = Path(os.environ[VARIABLE])
    aside = target.with_suffix(".new")
    aside.write_text(json.dumps(sorted(thread.name for thread in threading.enumerate())))
    aside.replace(target)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _write)
    from adapters.cli import main

    main()
