"""``main``: the ``sightline`` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process with the parts that :mod:`agent.app` builds; ends the process."""
    from adapters.cli.commands import application
    from agent.app import Application

    sys.exit(application()(obj=Application(), prog_name="sightline"))
