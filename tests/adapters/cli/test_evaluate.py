"""``sightline evaluate`` from its arguments to its report, with a method that compares pixels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.cli.evaluate import parse_methods, parse_nouns, parse_seeds
from adapters.evaluation.dataset import Category, Sample
from adapters.evaluation.evaluate import Run
from adapters.evaluation.maps import MapStore
from adapters.evaluation.protocol import PROTOCOLS
from adapters.evaluation.published import CATEGORIES
from adapters.evaluation.sheets import AT_THRESHOLD, chosen, colour_scale, write_sheet
from adapters.simulator import Product, Station, draw
from agent.domain.errors import ConfigurationError
from agent.methods import METHODS
from tests.adapters.cli.conftest import SEED, CommandLine

FIGURES = {
    *(
        "image_auroc",
        "image_aupr",
        "image_ap",
        "image_f1max",
        "pixel_auroc",
        "pixel_ap",
        "pixel_f1max",
        "pro",
    ),
    *("false_alarms_at_2pct_escapes", "escapes_at_2pct_false_alarms", "images", "ms_per_image"),
}
"""All figures of the evaluation JSON."""


def write_category(root: Path, name: str, suffix: str = "png") -> None:
    """Drawn gears in MVTec's layout: four to learn from, three good, three with a hole."""
    product, station = Product.create("gear", SEED), Station.fixed(SEED)
    for kind, count, defect in (
        ("train/good", 4, None),
        ("test/good", 3, None),
        ("test/hole", 3, "missing part"),
    ):
        for index in range(count):
            shot = draw(product, station, SEED + index + 10 * len(kind), defect=defect, size=64)
            save(root / name / kind / f"{index:03d}.{suffix}", shot.image[..., ::-1])
            if defect is not None:
                mask = np.asarray(shot.mask > 0, np.uint8) * 255
                save(root / name / f"ground_truth/hole/{index:03d}_mask.png", mask)


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    """An image by its suffix; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.ascontiguousarray(pixels))


@pytest.fixture
def gears_root(tmp_path: Path) -> Path:
    """Two categories, one of bitmaps."""
    write_category(tmp_path / "data", "gear")
    write_category(tmp_path / "data", "wheel", suffix="bmp")
    return tmp_path / "data"


@pytest.mark.slow
def test_json_markdown_and_sheets(sightline: CommandLine, gears_root: Path) -> None:
    result = sightline(
        *("evaluate", "--dataset", "mvtec", "--root", str(gears_root), "--shots", "2", "--seeds", "0-1"),
        *("--json", "out/figures.json", "--markdown", "out/figures.md", "--sheets", "out/sheets"),
    )
    report = json.loads((sightline.folder / "out/figures.json").read_text())
    assert list(report) == [
        *("dataset", "root", "method", "shots", "seeds", "profile", "machine"),
        *("categories", "mean", "std", "published"),
    ]
    assert (report["dataset"], report["shots"], report["seeds"]) == ("mvtec", 2, [0, 1])
    assert set(report["categories"]) == {"gear", "wheel"}
    for figures in (*report["categories"].values(), report["mean"]):
        assert set(figures) == FIGURES
        assert all(
            0.0 <= value <= 1.0 for name, value in figures.items() if name not in ("images", "ms_per_image")
        )
    assert report["categories"]["gear"]["images"] == 6
    assert report["mean"]["images"] == 12
    # The same images, once as PNG and once as BMP.
    assert report["categories"]["gear"]["image_auroc"] == report["categories"]["wheel"]["image_auroc"]
    assert set(report["std"]) == FIGURES - {"images"}
    assert report["published"] is None

    for word in ("gear", "wheel", "mean", "deviation", "AUROC"):
        assert word in result.stdout
    document = (sightline.folder / "out/figures.md").read_text()
    rows = [line for line in document.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == [
        "| category",
        "| gear",
        "| wheel",
        "| mean",
        "| deviation",
    ]
    assert len({row.count("|") for row in rows}) == 1
    for name in ("gear", "wheel"):
        sheet = cv2.imread(str(sightline.folder / f"out/sheets/{name}.png"))
        assert sheet is not None
        assert sheet.std() > 10


def test_published_rows_stand_beside_ours(sightline: CommandLine, tmp_path: Path) -> None:
    write_category(tmp_path, "gear")
    for name in CATEGORIES["mvtec"]:
        shutil.copytree(tmp_path / "gear", tmp_path / "mvtec" / name)
    arguments = ("evaluate", "--dataset", "mvtec", "--root", str(tmp_path / "mvtec"), "--method", "fade")
    result = sightline(*arguments, "--json", "f.json", "--markdown", "f.md")
    report = json.loads(Path("f.json").read_text())
    assert report["published"] == {
        "image_auroc": 0.9,
        "image_aupr": 0.956,
        "image_f1max": 0.924,
        "pixel_auroc": 0.896,
        "pro": 0.845,
        "pixel_f1max": 0.398,
    }
    assert "published" in result.stdout
    difference = f"{report['mean']['image_auroc'] - 0.9:+.3f}"
    assert f"| difference | {difference} |" in Path("f.md").read_text()

    sightline(*arguments, "--category", "tile", "--json", "f.json", "--markdown", "f.md")
    assert json.loads(Path("f.json").read_text())["published"] is None
    document = Path("f.md").read_text()
    assert "means over all 15 categories" in document
    assert "difference |" not in document


@pytest.mark.slow
def test_several_methods_in_one_table(sightline: CommandLine, gears_root: Path) -> None:
    result = sightline(
        *("evaluate", "--dataset", "mvtec", "--root", str(gears_root), "--category", "gear"),
        *(
            "--method",
            "fade,winclip,anomaly-dino,apg-gd",
            "--shots",
            "0,2",
            "--set",
            "inspection.backbone=timm:mobilenetv2_100",
        ),
        *("--json", "f.json", "--markdown", "f.md", "--sheets", "sheets"),
    )
    measured = [("fade", 0), ("fade", 2), ("winclip", 0), ("winclip", 2), ("anomaly-dino", 2)]
    reports = json.loads(Path("f.json").read_text())
    assert [(one["method"], one["shots"]) for one in reports] == measured
    assert all(set(one["categories"]["gear"]) == FIGURES for one in reports)

    document = Path("f.md").read_text()
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in document.splitlines() if "| " in line
    ]
    assert rows[0][:5] == ["method", "backbone", "references", "category", "image AUROC"]
    assert [(row[0], int(row[2])) for row in rows[1:] if row[3] == "gear"] == measured
    assert [row[3] for row in rows[1:3]] == ["gear", "mean"]
    assert {(row[0], row[1]) for row in rows[1:] if row[2] == "2"} == {
        ("fade", "timm:mobilenetv2_100"),
        ("anomaly-dino", "timm:mobilenetv2_100"),
        ("winclip", "sightline-tiny"),
    }
    assert {row[1] for row in rows[1:] if row[2] == "0"} == {"sightline-tiny"}, "words are compared there"
    assert len({len(row) for row in rows}) == 1
    lines = " ".join(result.stdout.split())
    for sentence in (
        "anomaly-dino was not measured with 0 references: pixels are compared with references; enroll some",
        "apg-gd was not measured with 0 references or 2 references: there are no weights",
    ):
        assert sentence in document
        assert sentence in lines
    assert Path("sheets/fade-2/gear.png").is_file()
    assert not Path("sheets/anomaly-dino-0").exists()


def test_where_no_method_can_run_it_is_a_mistake(sightline: CommandLine, gears_root: Path) -> None:
    arguments = ("evaluate", "--dataset", "mvtec", "--root", str(gears_root))
    assert "no weights" in sightline(*arguments, "--method", "apg-gd", code=1).stderr
    assert "enroll some" in sightline(*arguments, "--method", "anomaly-dino", code=1).stderr
    nothing = sightline(*arguments, "--method", "apg-gd,iap-as", code=1).stderr
    assert "apg-gd was not measured" in nothing
    assert "iap-as was not measured" in nothing


def test_the_names_of_methods() -> None:
    assert parse_methods(None) == (None,)
    assert parse_methods("fade, winclip,fade") == ("fade", "winclip")
    assert parse_methods("all") == tuple(name for name in METHODS if name != "null")


def test_a_narrow_terminal_gets_two_tables_with_whole_numbers(
    sightline: CommandLine, gears_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    result = sightline("evaluate", "--dataset", "mvtec", "--root", str(gears_root), "--json", "f.json")
    rows = [line.split() for line in result.stdout.splitlines() if line.strip().startswith("gear ")]
    gear = json.loads(Path("f.json").read_text())["categories"]["gear"]
    assert len(rows) == 2
    assert rows[0][1] == f"{gear['image_auroc']:.3f}"
    assert rows[1][1:] == [f"{gear[name]:.3f}" for name in ("pixel_auroc", "pixel_ap", "pixel_f1max", "pro")]


def test_prompts_from_a_file(sightline: CommandLine, gears_root: Path) -> None:
    arguments = ("evaluate", "--dataset", "mvtec", "--root", str(gears_root), "--category", "gear")
    Path("words.json").write_text(json.dumps({"normal": ["a fine gear"], "anomalous": ["a bad gear"]}))
    sightline(*arguments, "--prompts", "words.json", "--noun", "cog")
    Path("words.json").write_text("[")
    assert "words.json" in sightline(*arguments, "--prompts", "words.json", code=1).stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--dataset", "coco"), "there is no dataset format 'coco'; known are mvtec, visa"),
        (("--category", "cog"), "there is no category 'cog' in"),
        (("--shots", "5"), "category 'gear': 5 references are asked for, and there are 4"),
        (("--shots", "3", "--seeds", "1", "--draw", "anomaly-dino"), "use a smaller seed or the draw 'fade'"),
        (("--draw", "mine"), "there is no draw 'mine'; known are fade, anomaly-dino"),
        (("--protocol", "mine"), "there is no protocol 'mine'"),
        (("--method", "fade,fade2"), "there is no method 'fade2'; known are fade, sightline"),
        (("--seeds", "few"), "--seeds is written like 0-4"),
        (("--shots", "few"), "--shots is written like 4 or 0,4"),
        (("--noun", "cog=tooth"), "--noun is written like NOUN"),
    ],
)
def test_mistakes_are_one_sentence(
    sightline: CommandLine, gears_root: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    asked = ["evaluate", "--root", str(gears_root), *arguments]
    if "--dataset" not in arguments:
        asked += ["--dataset", "mvtec"]
    result = sightline(*asked, code=1)
    assert sentence in result.stderr
    assert result.stdout == ""


def test_a_damaged_image_is_named(sightline: CommandLine, gears_root: Path) -> None:
    damaged = gears_root / "gear/test/good/001.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    result = sightline("evaluate", "--dataset", "mvtec", "--root", str(gears_root), code=1)
    assert "001.png" in result.stderr
    (gears_root / "wheel/test/good/001.bmp").write_bytes(b"BM")
    result = sightline(
        "evaluate", "--dataset", "mvtec", "--root", str(gears_root), "--category", "wheel", code=1
    )
    assert "001.bmp is not an image" in result.stderr


@pytest.mark.parametrize(
    ("text", "seeds"), [("0", (0,)), ("0-4", (0, 1, 2, 3, 4)), ("7,0-1,1", (7, 0, 1)), (" 2 , 3 ", (2, 3))]
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "-1", "1-", "4-2", "a", "1.5"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_seeds(text)


def test_nouns() -> None:
    assert parse_nouns(["cap"], ["a", "b"]) == {"a": "cap", "b": "cap"}
    assert parse_nouns(["cap", "b=jar lid"], ["a", "b"]) == {"a": "cap", "b": "jar lid"}
    assert parse_nouns([], ["a"]) == {}


def a_run(maps: MapStore, *, good: int, bad: int, threshold: float | None = None) -> Run:
    """Images with rising scores, the good ones first; map values are scores of 0 to 1."""
    count = good + bad
    samples = tuple(Sample(Path(f"{i:02d}.png"), None if i < good else "dent") for i in range(count))
    for index in range(count):
        maps.append(np.full((4, 4), index / count, np.float32))
    scores = np.arange(count) / count
    category = Category("lid", (), samples)
    return Run(category, 0, samples, scores, maps, PROTOCOLS["exact"], {}, threshold)


def test_a_sheet_shows_the_hardest_images_and_some_of_the_rest() -> None:
    with MapStore() as maps:
        shown = chosen(a_run(maps, good=20, bad=30))
    assert shown[:2] == [19, 18]  # good ones with the highest scores
    assert shown[4:10] == [20, 21, 22, 23, 24, 25]  # defective ones with the lowest
    assert shown[-1] == 49
    assert len(shown) == len(set(shown)) == 16


def test_the_colour_scale_is_one_for_all_and_anchored_at_the_threshold() -> None:
    with MapStore() as maps:
        scale = colour_scale(a_run(maps, good=11, bad=9, threshold=0.65))
    assert scale.low == pytest.approx(0.25)  # the good ones' median
    assert scale.low + AT_THRESHOLD * (scale.high - scale.low) == pytest.approx(0.65)
    quiet, loud = scale.paint(np.array([[0.1, 5.0]]))[0]
    assert quiet.sum() < 10
    assert loud.sum() > 500
    with MapStore() as maps:
        robust = colour_scale(a_run(maps, good=11, bad=9))
    assert robust.threshold == pytest.approx(0.5, abs=0.03)  # without masks: the good ones' highest


def test_a_sheet_where_all_maps_are_equal(tmp_path: Path) -> None:
    with MapStore() as maps:
        run = a_run(maps, good=1, bad=0)
        write_sheet(run, lambda path: np.full((30, 40, 3), 90, np.uint8), tmp_path / "new/lid.png")
    assert cv2.imread(str(tmp_path / "new/lid.png")) is not None
