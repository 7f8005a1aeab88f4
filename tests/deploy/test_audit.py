"""The dependency audit of ``make lint``: what it finds fails, what it cannot ask is said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

AUDIT = Path(__file__).parents[2] / ".ci" / "audit"
FINE = {"name": "pip", "version": "1", "vulns": []}
HOLED = {"name": "old", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "own", "version": "1", "skip_reason": "not found on the index"}


def run(tmp_path: Path, stub: str) -> subprocess.CompletedProcess[str]:
    """With a stand-in for pip-audit: a Python program."""
    (tmp_path / "pip_audit.py").write_text(stub)
    command = [sys.executable, str(AUDIT), sys.executable, str(tmp_path / "pip_audit.py")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def answering(*dependencies: dict[str, Any]) -> str:
    return f"print({json.dumps(json.dumps({'dependencies': dependencies}))})"


def test_nothing_found(tmp_path: Path) -> None:
    done = run(tmp_path, answering(FINE, UNKNOWN))
    assert done.returncode == 0
    assert done.stdout == (
        "dependency audit: 1 packages, 0 with known vulnerabilities, 1 unknown to the database\n"
    )


def test_a_vulnerability_fails(tmp_path: Path) -> None:
    done = run(tmp_path, answering(FINE, HOLED) + "\nraise SystemExit(1)")
    assert done.returncode == 1
    assert "old 2: CVE-1, mended in 3" in done.stdout


@pytest.mark.parametrize(
    ("stub", "reason"),
    [
        (answering(UNKNOWN), "it knows none of the packages"),
        ("import sys\nprint('no route to host', file=sys.stderr)\nraise SystemExit(2)", "no route to host"),
        ("raise SystemExit(1)", "it gave no reason"),
    ],
)
def test_without_the_database_one_line_says_so(tmp_path: Path, stub: str, reason: str) -> None:
    done = run(tmp_path, stub)
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    assert line.startswith("dependency audit left out: the database of vulnerabilities cannot be reached")
    assert reason in line
