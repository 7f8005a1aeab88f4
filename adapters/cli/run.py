"""``sightline run``: the agent."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from adapters.cli.options import ConfigFile, Overrides, Profile, composition_of, configure
from adapters.cli.screen import complain

logger = logging.getLogger(__name__)

SWITCH_S = 0.001
_POLL_S = 0.2


def run(
    context: typer.Context, config: ConfigFile = None, profile: Profile = None, overrides: Overrides = None
) -> None:
    """Run the agent until SIGTERM or Ctrl-C; it then finishes its frames and publishes [bold]stopped[/]."""
    settings = configure(config, profile, overrides, level=None).settings
    with stop_signals() as stopping:
        agent = composition_of(context).agent(settings)
        try:
            agent.start()
            settle_process()
            for name, value in agent.description.items():
                logger.info("%s: %s", name, value)
            died = False
            while not stopping.is_set() and not died:
                died = agent.wait(_POLL_S)
            logger.info("stopping: finishing the frames that were admitted")
        finally:
            agent.stop()
        logger.info("stopped")
    if died:
        complain("a part of the agent died, see the log above; start it again")
    if agent.stuck:
        # A thread that hangs keeps Python from ending, so the service manager would not restart the agent.
        logging.shutdown()
        os._exit(int(died))
    if died:
        raise typer.Exit(1)


def settle_process() -> None:
    """Set up the interpreter for many threads that each work for a moment."""
    # Libraries and models leave half a million objects. To look through them for garbage stops every thread
    # for half a second, and finds none.
    gc.collect()
    gc.freeze()
    # A thread that comes back from disk, socket or device waits so long for one that computes.
    sys.setswitchinterval(SWITCH_S)


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; a second signal kills the process."""
    stopping = threading.Event()

    def handle(number: int, _frame: object) -> None:
        if stopping.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stopping.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
