"""Commands that load no model start without the libraries that models need."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "open_clip", "timm", "sklearn", "transformers", "sqlalchemy")

_SCRIPT = """
import sys
from adapters.cli import main
sys.argv = ["sightline", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("heavy:", [name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("config", "show"),
        ("models", "list"),
        ("demo", "--help"),
        ("camera", "--help"),
    ],
)
def test_nothing_heavy_is_imported(arguments: tuple[str, ...]) -> None:
    script = _SCRIPT.format(arguments=list(arguments), heavy=HEAVY)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.strip().endswith("heavy: []"), ended.stderr
