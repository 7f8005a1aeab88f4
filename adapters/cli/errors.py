"""Expected errors end a command with one clear sentence instead of a traceback."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from adapters.cli.screen import stderr
from agent.domain.errors import SightlineError


class Commands(TyperGroup):
    """A group whose commands may raise SightlineError: the sentence goes to stderr, the exit code is 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except SightlineError as error:
            complain(str(error))
            raise typer.Exit(1) from error
        except BrokenPipeError:
            # `sightline recipe list | head` is nobody's mistake.
            raise typer.Exit(0) from None
        except OSError as error:
            complain(f"{error.filename or 'the operating system'}: {error.strerror or error}")
            raise typer.Exit(1) from error


def complain(sentence: str) -> None:
    """Say on stderr what went wrong."""
    stderr().print(f"[bold red]error:[/] {_escape(sentence)}", soft_wrap=True)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
