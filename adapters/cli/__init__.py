"""``program``: the ``sightline`` command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.app import Application


def program(composition: Application) -> None:
    """Run the command line of this process with parts built by ``composition``; ends the process."""
    from adapters.cli.commands import application

    sys.exit(application()(obj=composition, prog_name="sightline"))


__all__ = ["program"]
