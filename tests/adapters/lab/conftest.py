"""Fixtures of the laboratory's tests: those of other rooms, and the studies' command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adapters.lab.studies.__main__ import studies
from tests.adapters.cli.conftest import CommandLine, QuickApplication, _logging_as_before
from tests.adapters.models.conftest import (
    _one_thread,
    convolutional,
    convolutional_files,
    images,
    vit,
    vit_files,
)

__all__ = [
    "_logging_as_before",
    "_one_thread",
    "convolutional",
    "convolutional_files",
    "images",
    "vit",
    "vit_files",
]


class Studies(CommandLine):
    """Runs ``python -m adapters.lab.studies`` in this process, in a folder of the test's own."""

    def __call__(self, *arguments: str, code: int | None = 0) -> Result:
        """Run one study; its exit code must be ``code`` (None: any)."""
        result = CliRunner().invoke(studies, list(arguments), obj=QuickApplication())
        if code is not None:
            assert result.exit_code == code, f"{result.output}\n{result.stderr}\n{result.exception!r}"
        return result


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studies:
    """The studies; the working directory is ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    return Studies(tmp_path)
