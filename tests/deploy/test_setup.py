"""The set-up behind make: it says in a sentence what is missing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETUP = ROOT / ".ci" / "setup"


def run(tmp_path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(SETUP), "run"],
        cwd=ROOT,
        env={"VENV": str(tmp_path / "venv"), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_python_at_all(tmp_path: Path) -> None:
    answer = run(tmp_path, PATH=str(tmp_path))
    assert answer.returncode == 1
    assert "needs Python 3.11 or later and found none" in answer.stderr


def test_a_python_that_is_too_old_or_a_shim_without_one_behind_it(tmp_path: Path) -> None:
    for name in ("python3", "python3.11"):
        shim = tmp_path / name
        shim.write_text("#!/bin/sh\nexit 1\n")
        shim.chmod(0o755)
    answer = run(tmp_path, PATH=str(tmp_path))
    assert answer.returncode == 1
    assert "found none" in answer.stderr
    answer = run(tmp_path, PATH=str(tmp_path), PYTHON=str(tmp_path / "python3"))
    assert answer.returncode == 1
    assert "is not Python 3.11 or later" in answer.stderr


def test_a_python_without_venv(tmp_path: Path) -> None:
    shim = tmp_path / "python3.11"
    # Recent enough, and no module ensurepip: what Debian installs without python3-venv.
    shim.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; *) exit 0 ;; esac\n')
    shim.chmod(0o755)
    answer = run(tmp_path, PATH=str(tmp_path))
    assert answer.returncode == 1
    assert "apt install python3-venv" in answer.stderr


def test_make_help_lists_the_targets() -> None:
    make = shutil.which("make")
    assert make is not None, "these tests are started by make"
    answer = subprocess.run([make, "-C", str(ROOT), "help"], capture_output=True, text=True, check=True)
    for target in ("demo", "test", "lint", "clean"):
        assert f"make {target} " in answer.stdout
