"""What a command shows of its progress where nobody has a terminal."""

from __future__ import annotations

import re

import pytest

from adapters.cli.progress import StepProgress


def test_a_long_step_is_lines_with_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    with StepProgress(every_s=0.0) as progress:
        progress.step("memorising references", 3)
        for _ in range(3):
            progress.advance()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert re.fullmatch(r"memorising references: 1 of 3, about \d+ s to go", lines[0])
    assert lines[2].startswith("memorising references: 3 of 3, about 0 s")


def test_a_short_step_is_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with StepProgress(every_s=1e9) as progress:
        progress.step("reading references", 2)
        progress.advance()
    assert capsys.readouterr().err == ""


def test_more_parts_than_there_were_thought_to_be_end_at_the_total(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with StepProgress(every_s=0.0) as progress:
        progress.step("[trying]", 1)
        for _ in range(3):
            progress.advance()
    assert capsys.readouterr().err.count("[trying]: 1 of 1") == 3
