"""What a command imports: only what it uses, so that it starts at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adapters.cli.commands import COMMANDS, LazyCommand

MODELS = ("torch", "torchvision", "open_clip", "timm", "transformers", "sklearn", "scipy", "cv2")
DATABASE = ("sqlalchemy", "alembic")

_SCRIPT = """
import sys
from adapters.cli import main
sys.argv = ["sightline", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("imported:", *(name for name in {names!r} if name in sys.modules), file=sys.stderr)
"""


def imported(folder: Path, names: tuple[str, ...], *arguments: str) -> list[str]:
    """Which of the modules ``names`` are there after ``sightline`` ran in a process of its own."""
    return imported_by(folder, _SCRIPT.format(arguments=list(arguments), names=names))


def imported_by(folder: Path, script: str) -> list[str]:
    """The names that a script writes behind "imported:" to stderr, in its last line."""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    label, *names = ended.stderr.splitlines()[-1].split()
    assert label == "imported:", ended.stderr
    return names


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help_imports_the_command_line_alone(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    beside = ("numpy", "pydantic", "yaml", "config", "storage", "agent.app.store", "adapters.cli.run")
    assert imported(tmp_path, (*MODELS, *DATABASE, *beside), *arguments) == []


@pytest.mark.parametrize(
    "arguments", [("config", "show"), ("models", "list"), ("demo", "--help"), ("camera", "--help")]
)
def test_commands_without_a_model_import_no_library_of_models(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    heavy = tuple(name for name in MODELS if name != "cv2")  # cameras write images
    assert imported(tmp_path, (*heavy, *DATABASE), *arguments) == []


@pytest.mark.slow
def test_check_imports_what_the_agent_talks_with_and_no_model(tmp_path: Path) -> None:
    """The weights are on the disk: that needs no library. No database is there yet, so none is migrated."""
    found = imported(
        tmp_path, (*MODELS, "alembic"), "check",
        "--set", "broker.url=embedded://127.0.0.1:0", "--set", "metrics.enabled=false",
        "--set", "ollama.enabled=false", "--set", "database.url=sqlite:///gone.db",
    )  # fmt: skip
    assert found == []


@pytest.mark.slow
def test_the_default_models_import_neither_transformers_nor_statistics(tmp_path: Path) -> None:
    """Of the agent and `inspect`. Grounding DINO still finds transformers afterwards."""
    script = """
import sys
import agent.app.agent
from agent.app import Application
from config import load
inspector = Application().inspector(load(overrides=["models.device=cpu"]).settings)
assert inspector.method.digest
names = ("transformers", "sklearn", "scipy.stats", "scipy.optimize", "alembic", "ollama", "amqtt")
found = [name for name in names if name in sys.modules]
import transformers
assert transformers.AutoTokenizer
print("imported:", *found, file=sys.stderr)
"""
    assert imported_by(tmp_path, script) == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_the_summary_in_help_is_that_of_the_command(command: LazyCommand) -> None:
    loaded = command.load()
    assert command.help == loaded.help.split("\n\n")[0].strip()
