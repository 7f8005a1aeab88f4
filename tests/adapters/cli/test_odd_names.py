"""File names, SKUs and notes of any kind: read under one name, and shown as they are."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.text import Text

from adapters.cli import screen
from storage import Database, SqlRecipeBook
from tests.adapters.cli.conftest import CommandLine

Gears = Callable[[str, int], Path]
LONG = "long " * 40 + "name.jpg"
ODD = [
    b"cam [left] 1.jpg",
    b"x[/b].jpg",
    b"[bold]b[_bold].jpg",
    b":warning: 100% {0}.jpg",
    "Shot 10.01.20\u202fPM.jpg".encode(),
    b"bell\x07 esc\x1b[31m.jpg",
    b"caf\xe9 not utf-8.jpg",
    "\u202ereversed.jpg".encode(),
    LONG.encode(),
]
"""The second lies in a folder called ``x[``."""
SKU = "A [1] [/b]"
SHOWN = [
    "cam [left] 1.jpg",
    "x[/b].jpg",
    "[bold]b[_bold].jpg",
    ":warning: 100% {0}.jpg",
    "Shot 10.01.20\u202fPM.jpg",
    "bell\\x07 esc\\x1b[31m.jpg",
    "caf\\xe9 not utf-8.jpg",
    "\\u202ereversed.jpg",
]


@pytest.fixture
def odd(tmp_path: Path, gears: Gears) -> Path:
    """A folder of images with odd names."""
    folder = os.fsencode(tmp_path / "odd")
    sources = sorted(gears("odd", len(ODD)).iterdir())
    os.mkdir(folder + b"/x[")  # noqa: PTH102 - bytes
    for source, name in zip(sources, ODD, strict=True):
        os.rename(os.fsencode(source), folder + b"/" + name)  # noqa: PTH104 - bytes
    return tmp_path / "odd"


@pytest.mark.slow
def test_no_file_name_fails_an_image_or_is_obeyed(sightline: CommandLine, gears: Gears, odd: Path) -> None:
    gears("good", 8)
    shown = sightline("inspect", "odd", "--out", "out").stdout
    flat = "".join(shown.split())
    assert [name for name in SHOWN if "".join(name.split()) not in flat] == []
    results = json.loads(sightline("inspect", "odd", "--references", "good", "--json").stdout)
    assert {one["verdict"] for one in results} <= {"PASS", "FAIL", "REVIEW"}
    assert {os.fsencode(one["image"]) for one in results} == {b"odd/" + name for name in ODD}


@pytest.mark.slow
def test_references_of_any_name_are_enrolled_and_named(sightline: CommandLine, odd: Path) -> None:
    (odd / "not [an] image[-].jpg").write_bytes(b"x")
    (odd / "zz[b].jpg").write_bytes((odd / "cam [left] 1.jpg").read_bytes())
    result = sightline("enroll", "--sku", SKU, "--name", "gear [x]", "--references", "odd")
    assert "not [an] image[-].jpg: " in result.stderr
    assert f"{SKU} (gear [x]): recipe version 1" in result.stdout
    for command in (
        ["list"],
        ["show", SKU],
        ["activate", SKU, "1"],
        ["export", SKU],
    ):
        assert SKU in sightline("recipe", *command).stdout
    exported = sightline("recipe", "export", SKU, "--out", "re[b]cipe.yaml").stdout
    assert "re[b]cipe.yaml" in exported
    assert "there is no active recipe of 'B[/]'" in sightline("recipe", "show", "B[/]", code=1).stderr
    assert "no file or folder no[/b]where" in sightline("inspect", "no[/b]where", code=1).stderr


@pytest.mark.slow
def test_every_spelling_of_a_sku_is_one_product(sightline: CommandLine, gears: Gears) -> None:
    gears("good", 8)
    sightline("enroll", "--sku", "Ref\u00a012\n", "--references", "good")
    sightline("enroll", "--sku", " Ref \u202f12", "--references", "good")
    (one, other) = json.loads(sightline("recipe", "list", "Ref\u200b 12", "--json").stdout)
    assert (one["sku"], one["version"], other["version"]) == ("Ref 12", 1, 2)
    sightline("recipe", "activate", "Ref\t12", "1")
    text = sightline("recipe", "export", "Ref 12").stdout
    (sightline.folder / "r.yaml").write_text(text.replace("sku: Ref 12", 'sku: "Ref\\xA0 12"'))
    imported = json.loads(sightline("recipe", "import", "r.yaml", "--json").stdout)
    assert (imported["sku"], imported["new"]) == ("Ref 12", False)
    refused = sightline("enroll", "--sku", "Ref\x0712", "--references", "good", code=1).stderr
    assert "control character U+0007" in refused
    noted = sightline("enroll", "--sku", "REF 12", "--references", "good").stderr
    assert "only upper and lower case tell it from Ref 12" in noted


def test_a_product_stored_in_another_spelling_keeps_it_and_is_found(
    sightline: CommandLine, gears: Gears
) -> None:
    gears("good", 8)
    sightline("enroll", "--sku", "Ref 12", "--references", "good")
    old = "Ref\u00a0 12"  # as version 0.1 stored what it was given
    with Database("sqlite:///var/history.db") as database:
        recipe = SqlRecipeBook(database).active("Ref 12")
        assert recipe is not None
        with database.write() as connection:
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
            for table in ("sku", "recipe", "reference"):
                connection.exec_driver_sql(f"UPDATE {table} SET sku = ?", (old,))  # noqa: S608
    assert "version 1" in sightline("recipe", "activate", "Ref 12", "1").stdout
    sightline("enroll", "--sku", "Ref 12", "--references", "good")
    listed = json.loads(sightline("recipe", "list", "--json").stdout)
    assert {(one["sku"], one["version"]) for one in listed} == {(old, 1), (old, 2)}
    assert json.loads(sightline("recipe", "show", old, "--json").stdout)["version"] == 2


def test_tables_and_errors_show_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    table = screen.table("name", title="t[/b]")
    table.add_row("x[/b] :smile:")
    table.add_row(Text("y[/b]", style="bold"))
    screen.stdout().print(table)
    screen.complain("no [/b] file\n  a\x1bb")
    shown = capsys.readouterr()
    assert all(text in shown.out for text in ("t[/b]", "x[/b] :smile:", "y[/b]"))
    assert shown.err == "error: no [/b] file\n  a\\x1bb\n"


FROM_OUTSIDE = {"detail", "file", "frame_id", "message", "name", "note", "noun", "path", "problem", "reason",
                "remark", "sentence", "sku", "source"}  # fmt: skip


def _sentences_with_markup() -> Iterator[tuple[str, ast.JoinedStr]]:
    root = Path(__file__).resolve().parents[3] / "adapters"
    for file in sorted((*root.joinpath("cli").rglob("*.py"), *root.joinpath("evaluation").rglob("*.py"))):
        for call in ast.walk(ast.parse(file.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            if call.func.attr in ("print", "status") and not any(
                one.arg == "markup" for one in call.keywords
            ):
                yield from (
                    (f"{file.name}:{one.lineno}", one) for one in call.args if isinstance(one, ast.JoinedStr)
                )


def test_sentences_with_markup_take_texts_from_outside_through_plain() -> None:
    found = list(_sentences_with_markup())
    wrong = [
        f"{place}: {ast.unparse(value.value)}"
        for place, sentence in found
        for value in sentence.values
        if isinstance(value, ast.FormattedValue)
        and (getattr(value.value, "attr", None) or getattr(value.value, "id", None)) in FROM_OUTSIDE
    ]
    assert len(found) > 10
    assert wrong == []
