"""What documents and docstrings point to is there: files, sections of METHODS, commands."""

from __future__ import annotations

import ast
import importlib.util
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from typer.core import TyperGroup

ROOT = Path(__file__).parents[2]
METHODS = ROOT / "agent" / "methods" / "METHODS.md"

ROOMS = ("agent", "adapters", "storage", "config", "tests", "deploy", ".ci")
HISTORY = ("CHANGELOG.md",)
"""Documents of what was: their paths may be gone."""
GENERATED = ("deploy/secrets", "tests/adapters/lab/VERIFIED")
"""What `deploy/prepare` and `make test-lab` make."""

_PATH = re.compile(
    rf"(?<![\w/.:-])((?:{'|'.join(map(re.escape, ROOMS))})/[A-Za-z0-9_./*{{}},-]*[A-Za-z0-9_*}}/])"
)
_CITATION = re.compile(
    r"METHODS(?:\.md)?,?\s+(?:sections?\s+)?(\d+(?:\.\d+)*(?:(?:,| and| to)\s+\d+(?:\.\d+)*)*)"
)
_MODULE = re.compile(r"python -m ((?:adapters|agent|storage|config|tests)(?:\.\w+)*)")
_ROLE = re.compile(
    r":(?:mod|class|func|attr|data|meth):`~?((?:agent|adapters|storage|config|tests)(?:\.\w+)+)`"
)
_COMMAND = re.compile(r"(?:^|`)sightline ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", flags=re.MULTILINE)
_OF_A_COMMIT = re.compile(r"\b[0-9a-f]{7,40}:$")
_GONE = re.compile(r"\b(DESIGN|PEERS|SPEED|TINY|HOUSE)(?:\.md)?\b(?! *[=\]])")


@cache
def tracked() -> tuple[Path, ...]:
    """Files that belong to the repository; all that lie here if it is not a clone."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.decode()
        files = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        files = [path for room in ROOMS for path in (ROOT / room).rglob("*")]
        files += list(ROOT.glob("*"))
    return tuple(path for path in files if path.is_file() and path.suffix in (".py", ".md", ".yaml", ".toml"))


def lines() -> Iterator[tuple[str, str]]:
    """``file:line`` and the text of every line that is not a document of what was."""
    for path in tracked():
        name = path.relative_to(ROOT).as_posix()
        if name in HISTORY or path == Path(__file__):
            continue
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            yield f"{name}:{number}", text


@cache
def prose(path: Path) -> str:
    """What is written for people: all of a document, docstrings and comments of code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    tree = ast.parse(text)
    strings = [
        node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join([*strings, *(token.string for token in tokens if token.type == tokenize.COMMENT)])


def mentioned(path: Path) -> Iterator[str]:
    """Paths in prose, but those in a commit (``git show COMMIT:PATH``)."""
    for text in prose(path).splitlines():
        for found in _PATH.finditer(text):
            if not _OF_A_COMMIT.search(text[: found.start()]) and not found[1].startswith(GENERATED):
                yield found[1]


def exists(mention: str) -> bool:
    """Whether a path, a glob, or a path with alternatives in braces is there."""
    parts = re.match(r"(.*)\{([^}]*)\}(.*)", mention)
    if parts is not None:
        return all(exists(parts[1] + each.strip() + parts[3]) for each in parts[2].split(","))
    if "*" in mention:
        return any(ROOT.glob(mention))
    return (ROOT / mention.rstrip("/.")).exists()


@pytest.mark.slow
def test_every_path_that_is_mentioned_exists() -> None:
    gone = {
        f"{path.relative_to(ROOT).as_posix()}: {mention}"
        for path in tracked()
        if path.relative_to(ROOT).as_posix() not in HISTORY and path != Path(__file__)
        for mention in mentioned(path)
        if not exists(mention)
    }
    assert sorted(gone) == []


def test_every_link_in_a_document_leads_somewhere() -> None:
    broken = []
    for path in tracked():
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
            if "://" in target or target.startswith("#"):
                continue
            if not (path.parent / target.partition("#")[0]).exists():
                broken.append(f"{path.relative_to(ROOT).as_posix()}: {target}")
    assert broken == []


def test_every_citation_of_the_methods_names_a_section_that_there_is() -> None:
    sections = set(re.findall(r"^##+ (\d+(?:\.\d+)*) ", METHODS.read_text(encoding="utf-8"), flags=re.M))
    assert len(sections) > 20
    cited = {
        (place, number)
        for place, text in lines()
        for found in _CITATION.finditer(text)
        for number in re.findall(r"\d+(?:\.\d+)*", found[1])
    }
    assert len(cited) > 20
    assert sorted(f"{place}: {number}" for place, number in cited if number not in sections) == []


def test_nothing_cites_documents_that_the_repository_does_not_hold() -> None:
    found = [f"{place}: {text.strip()}" for place, text in lines() if _GONE.search(text)]
    assert found == []


def test_every_command_in_a_document_names_a_module_that_there_is() -> None:
    named = {(place, found) for place, text in lines() for found in _MODULE.findall(text)}
    named |= {
        (str(path.name), found)
        for path in (ROOT / "Makefile", ROOT / ".ci" / "run")
        for found in re.findall(r"-m ((?:adapters|agent|tests)(?:\.\w+)*)", path.read_text())
    }
    assert named
    missing = [f"{place}: {name}" for place, name in sorted(named) if importlib.util.find_spec(name) is None]
    assert missing == []


def test_every_name_that_a_docstring_refers_to_is_there() -> None:
    """``:class:`room.module.Name```: the module, and a definition of the name in it."""
    missing = []
    for path in tracked():
        for name in _ROLE.findall(prose(path)) if path.suffix == ".py" else ():
            parts = name.split(".")
            found = [ROOT.joinpath(*parts[:count]) for count in range(len(parts), 0, -1)]
            files = [
                (file, parts[len(parts) - index :])
                for index, place in enumerate(found)
                for file in (place.with_suffix(".py"), place / "__init__.py")
                if file.is_file()
            ]
            if not files or not all(
                re.search(rf"\b{part}\b", files[0][0].read_text()) for part in files[0][1]
            ):
                missing.append(f"{path.relative_to(ROOT).as_posix()}: {name}")
    assert missing == []


def test_every_command_of_sightline_in_a_document_exists() -> None:
    from adapters.cli.commands import COMMANDS

    commands = {command.name: command.load() for command in COMMANDS}
    unknown = []
    for path in tracked():
        if path.suffix != ".md" or path.name in HISTORY:
            continue
        for command, sub in _COMMAND.findall(path.read_text(encoding="utf-8")):
            found = commands.get(command)
            inside = found.commands if isinstance(found, TyperGroup) else None
            if found is None or (inside is not None and sub and sub not in inside):
                unknown.append(f"{path.relative_to(ROOT).as_posix()}: sightline {command} {sub}")
    assert unknown == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("(METHODS section 3.2)", ["3.2"]),
        ("(METHODS 0.3)", ["0.3"]),
        ("METHODS sections 1.1, 1.2", ["1.1", "1.2"]),
    ],
)
def test_a_citation_is_recognised(text: str, numbers: list[str]) -> None:
    found = _CITATION.search(text)
    assert found is not None
    assert re.findall(r"\d+(?:\.\d+)*", found[1]) == numbers
