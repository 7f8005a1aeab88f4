"""``main``: the ``sightline`` command."""

from __future__ import annotations

import os
import sys

from adapters.models.threads import wait_passively


def main() -> None:
    """Run the command line of this process with the parts that :mod:`agent.app` builds; ends the process."""
    wait_passively(os.environ)
    from adapters.cli.commands import application
    from agent.app import Application

    sys.exit(application()(obj=Application(), prog_name="sightline"))
