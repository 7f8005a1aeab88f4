"""Folders of images, the names of results, and the bits of values, from the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from adapters.cli.demo.plan import encode_jpeg
from tests.adapters.cli.conftest import CommandLine, gear

Gears = Callable[[str, int], Path]


def inspected(sightline: CommandLine, *arguments: str) -> list[dict[str, Any]]:
    return json.loads(sightline("inspect", *arguments, "--json").stdout)


def write(path: str, seed: int = 0) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encode_jpeg(gear(seed)))
    return file


def test_folders_give_visible_images_by_any_suffix_of_jpeg_and_name_what_they_leave_out(
    sightline: CommandLine,
) -> None:
    taken = ["shots/a.jpe", "shots/b.jfif", "shots/deep/c.JPG"]
    for path in (
        *taken, "shots/.thumbnails/t.jpg", "shots/._a.jpg", "shots/__MACOSX/a.jpg", "shots/deep/@eaDir/c.jpg",
    ):  # fmt: skip
        write(path)
    for name in ("x.bmp", "y.bmp", "z.TIFF", ".hidden.bmp"):
        Path("shots", name).write_bytes(b"")
    result = sightline("inspect", "shots", "--json")
    assert [one["image"] for one in json.loads(result.stdout)] == taken
    assert "also holds 2 .bmp, 1 .tiff" in result.stderr
    assert [one["image"] for one in inspected(sightline, "shots/.thumbnails")] == ["shots/.thumbnails/t.jpg"]
    Path("other").mkdir()
    Path("other/x.webp").write_bytes(b"")
    assert "but 1 .webp" in sightline("inspect", "other", code=1).stderr
    enrolled = sightline("enroll", "--sku", "A", "--references", "shots")
    assert "also holds 2 .bmp" in enrolled.stderr


def test_results_have_names_of_their_own(sightline: CommandLine) -> None:
    for path in ("good/000.jpg", "bent/000.jpg", "bent/a.jpg", "bent/A.jpe", "bent/b.jpg", "x/good/000.jpg"):
        write(path)
    results = inspected(sightline, "good", "bent", "x/good", "--out", "o")
    files = [one[kind] for one in results for kind in ("mask", "overlay")]
    assert len({name.casefold() for name in files}) == 12
    assert all(Path(name).is_file() for name in files)
    assert "o/b.mask.png" in files
    assert {"o/bent/a.jpg.mask.png", "o/bent/A.jpe.mask.png", "o/bent/000.jpg.mask.png"} <= set(files)
    again = inspected(sightline, "good", "bent", "x/good", "--out", "o")
    assert again == results or [one["mask"] for one in again] == [one["mask"] for one in results]


def test_results_of_an_earlier_run_stay(sightline: CommandLine) -> None:
    write("good/000.jpg", 1)
    write("bent/000.jpg", 2)
    (first,) = inspected(sightline, "good", "--out", "o")
    before = Path(first["overlay"]).read_bytes()
    second = sightline("inspect", "bent", "--out", "o", "--json")
    assert "o holds other results of an earlier run: 3 files stay" in second.stderr
    (found,) = json.loads(second.stdout)
    assert (first["overlay"], found["overlay"]) == ("o/000.overlay.jpg", "o/000.2.overlay.jpg")
    assert Path(first["overlay"]).read_bytes() == before
    third = sightline("inspect", "good", "--out", "o", "--json")
    assert "earlier run" not in third.stderr, "the same results are there already"


def test_results_within_the_folder_are_no_images_of_it(sightline: CommandLine) -> None:
    write("shots/a.jpg")
    for _ in range(2):
        assert len(inspected(sightline, "shots", "--out", "shots/out")) == 1


def as_png(folder: str, images: list[np.ndarray], shift: int | None = None) -> None:
    """As PNG of 8 bits, or of 16 bits with the values moved up by ``shift``."""
    Path(folder).mkdir()
    for index, image in enumerate(images):
        values = image[..., ::-1] if shift is None else image[..., ::-1].astype(np.uint16) << shift
        cv2.imwrite(f"{folder}/{index:03d}.png", values)


def test_values_in_lower_bits_are_judged_like_eight_bits(sightline: CommandLine) -> None:
    shift = 4
    spoilt = gear(500).copy()
    spoilt[50:70, 50:70] = (255, 0, 255)
    frames = [gear(40), spoilt, gear(41) // 5]
    as_png("references", [gear(seed) for seed in range(9)])
    as_png("frames", frames)
    as_png("deep-references", [gear(seed) for seed in range(9)], shift)
    as_png("deep", frames, shift)
    wanted = [
        (one["verdict"], one["score"]) for one in inspected(sightline, "frames", "--references", "references")
    ]
    assert wanted[1][0] == "FAIL"
    for references in ("references", "deep-references"):
        result = sightline("inspect", "deep", "--references", references, "--json")
        assert [(one["verdict"], one["score"]) for one in json.loads(result.stdout)] == wanted
        assert f"read as values of {8 + shift} bits" in " ".join(result.stderr.split())


def test_stated_bits_and_what_is_kept_of_dark_references(sightline: CommandLine) -> None:
    dark = [gear(seed) // 5 for seed in range(8)]
    as_png("dark", dark, 4)
    enrolled = sightline("enroll", "--sku", "A", "--references", "dark", "--bits", "12")
    assert "12 bits, as --bits states" in " ".join(enrolled.stderr.split())
    shutil.rmtree("dark")
    from adapters.images.codec import CvImageCodec

    kept = [CvImageCodec().decode(file.read_bytes()) for file in Path("var/media").rglob("*.png")]
    assert len(kept) == 8
    assert {int(image.max()) for image in kept} == {int(image.max()) for image in dark}


def test_tables_and_help_are_readable_at_100_columns(
    sightline: CommandLine, gears: Gears, monkeypatch: pytest.MonkeyPatch
) -> None:
    sku, noun = "BRK-2041-ZINC-PLATED-M8-LEFT", "zinc plated bracket"
    sightline("enroll", "--sku", sku, "--references", str(gears("good", 8)), "--name", noun)
    monkeypatch.setenv("COLUMNS", "100")
    listed = sightline("recipe", "list").stdout
    assert max(len(line) for line in listed.splitlines()) <= 100
    assert all(word in listed for word in ("active 1", "sightline", "template", "enrollment", "bracket"))
    cells = [word for line in listed.splitlines()[3:] for word in line.split()]
    assert sku.startswith(cells[0])
    assert len(cells[0]) >= 8
    shown = sightline("camera", "--help").stdout
    assert max(len(line) for line in shown.splitlines()) <= 100
    assert "inspected once, unless\n" not in "\n".join(line.rstrip() for line in shown.splitlines()) or (
        "\n --prefix makes it another frame" in shown
    )
