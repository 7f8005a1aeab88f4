"""A whole evaluation over a tiny dataset, with a method whose scores can be worked out by hand."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from sklearn.metrics import average_precision_score, roc_auc_score

from adapters.evaluation.dataset import Category
from adapters.evaluation.evaluate import Figures, Options, Run, evaluate
from adapters.evaluation.formats import FORMATS
from adapters.evaluation.protocol import PROTOCOLS
from adapters.evaluation.report import deviation_of, mean_of, over_categories, report
from agent.domain.errors import ConfigurationError, ModelError, RecipeError
from agent.domain.frame import Image
from agent.domain.prompts import PromptSet
from agent.domain.recipe import Recipe
from agent.inference.inspector import Inspector
from agent.methods.prepared import Groups, Prepared, Scored
from tests.adapters.evaluation.trees import draw, draw_mask


@dataclass
class BrightPrepared:
    """The darkest reference's mean, or 0."""

    recipe: Recipe
    level: float
    mask_threshold: float = 0.5
    pool_fraction: float = 0.0

    @property
    def complete(self) -> bool:
        return True

    def without(self, references: Collection[int]) -> BrightPrepared:
        """Not asked for here."""
        raise NotImplementedError

    def without_groups(self) -> BrightPrepared:
        return self

    def with_recipe(self, recipe: Recipe) -> BrightPrepared:
        """Not asked for here."""
        raise NotImplementedError

    def lead(self, region: torch.Tensor) -> float:
        return 0.0

    def label(self, region: torch.Tensor) -> str | None:
        """No names."""
        return None


@dataclass
class Bright:
    """Scores by brightness above the references; the map is the image."""

    maps: bool = True
    broken: bool = False
    lacking: str | None = None
    recipes: list[Recipe] = field(default_factory=list)
    digest: str = "bright"
    fingerprint: str = "bright"

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> BrightPrepared:
        """See :class:`agent.methods.prepared.Method`."""
        self.recipes.append(recipe)
        assert len(references) == recipe.shots
        return BrightPrepared(recipe, min((float(one.mean()) for one in references), default=0.0))

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        """See :class:`agent.methods.prepared.Method`."""
        scored = []
        for image, recipe in zip(images, prepared, strict=True):
            assert isinstance(recipe, BrightPrepared)
            if self.lacking is not None:
                scored.append(Scored.without_score(self.lacking))
                continue
            grid = torch.from_numpy(image.mean(axis=2).astype(np.float32) / 255.0)
            score = float("nan") if self.broken else float(image.max()) / 255.0 - recipe.level / 255.0
            scored.append(Scored(score, grid if self.maps else None))
        return scored


class Watcher:
    """Writes down its calls."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int, int]] = []
        self.runs: list[tuple[str, int, tuple[str, ...]]] = []
        self.maps: list[tuple[int, ...]] = []
        self.truths: list[bool] = []

    def scored(self, category: Category, seed: int, done: int, total: int) -> None:
        """See :class:`adapters.evaluation.evaluate.Observer`."""
        self.steps.append((category.name, seed, done, total))

    def finished(self, run: Run) -> None:
        """See :class:`adapters.evaluation.evaluate.Observer`."""
        self.runs.append((run.category.name, run.seed, run.notes))
        self.maps += [one.shape for i in range(len(run.samples)) if (one := run.map(i)) is not None]
        self.truths += [
            bool(truth.any()) for i in range(len(run.samples)) if (truth := run.truth(i)) is not None
        ]


def load(path: Path) -> Image:
    """RGB pixels."""
    with Pillow.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


@pytest.fixture
def lids(tmp_path: Path) -> Path:
    """Two products: bright spots on dark lids, outlined exactly; one is harder than the other."""
    for product, spot in (("lid", 255), ("jar_top", 40)):
        folder = tmp_path / product
        for index, value in enumerate((20, 30, 50)):
            draw(folder / f"train/good/{index}.png", value)
            draw(folder / f"test/good/{index}.png", value)
        for index in range(2):
            draw_mask(folder / f"test/spot/{index}.png", spot, box=(2, 1, 6, 5))
            draw_mask(folder / f"ground_truth/spot/{index}_mask.png", box=(2, 1, 6, 5))
    return tmp_path


def test_zero_shot(lids: Path) -> None:
    watcher, method = Watcher(), Bright()
    options = Options("bright", batch=2, nouns={"lid": "cap"})
    figures = evaluate(Inspector(method), FORMATS["mvtec"](lids), options, load, watcher)
    (jar,), (lid,) = figures["jar_top"], figures["lid"]
    assert lid["image_auroc"] == 1.0
    assert jar["image_auroc"] == pytest.approx(4 / 6)  # above 20 and 30, below 50
    assert lid["images"] == jar["images"] == 5
    assert lid["pixel_auroc"] is not None
    assert lid["pixel_auroc"] > 0.99
    assert [recipe.noun for recipe in method.recipes] == ["jar top", "cap"]
    assert watcher.steps[:3] == [("jar_top", 0, 2, 5), ("jar_top", 0, 4, 5), ("jar_top", 0, 5, 5)]
    assert set(watcher.maps) == {(448, 448)}
    assert watcher.truths == [False] * 3 + [True] * 2 + [False] * 3 + [True] * 2


def test_seeds_without_references_are_one_run(lids: Path) -> None:
    figures = evaluate(Inspector(Bright()), FORMATS["mvtec"](lids), Options("b", seeds=(0, 1, 2)), load)
    assert {name: len(runs) for name, runs in figures.items()} == {"jar_top": 1, "lid": 1}


def test_references_are_the_draws(lids: Path) -> None:
    method = Bright()
    options = Options("bright", shots=1, seeds=(0, 1, 2), draw="anomaly-dino")
    evaluate(Inspector(method), FORMATS["mvtec"](lids / "lid"), options, load)
    assert [[one.name for one in recipe.references] for recipe in method.recipes] == [
        ["0.png"],
        ["1.png"],
        ["2.png"],
    ]


def test_too_few_good_images_are_told_before_anything_runs(lids: Path) -> None:
    method = Bright()
    with pytest.raises(ConfigurationError, match="category 'jar_top': 4 references are asked for"):
        evaluate(Inspector(method), FORMATS["mvtec"](lids), Options("bright", shots=4), load)
    assert method.recipes == []


def test_drawn_references_are_no_test_images(tmp_path: Path) -> None:
    for index in range(4):
        draw(tmp_path / f"good/{index}.png", 10 + index)
        draw(tmp_path / f"dent/{index}.png", 200)
    watcher = Watcher()
    categories = FORMATS["folder"](tmp_path)
    (figures,) = evaluate(Inspector(Bright()), categories, Options("bright", shots=2), load, watcher).values()
    assert figures[0]["images"] == 6
    assert "pixel_auroc" not in figures[0]
    assert watcher.runs == [(tmp_path.name, 0, ("2 drawn references are left out of the test",))]


def test_images_without_a_mask_are_left_out_of_the_pixels_and_counted(lids: Path) -> None:
    (lids / "lid/ground_truth/spot/1_mask.png").unlink()
    watcher = Watcher()
    evaluate(Inspector(Bright()), FORMATS["mvtec"](lids / "lid"), Options("bright"), load, watcher)
    assert watcher.runs[0][2] == ("1 defective images have no mask and are left out of the pixels",)


def test_a_method_without_maps(lids: Path) -> None:
    figures = evaluate(Inspector(Bright(maps=False)), FORMATS["mvtec"](lids), Options("bright"), load)
    assert "pro" not in figures["lid"][0]
    assert figures["lid"][0]["image_auroc"] == 1.0


def test_a_score_that_is_no_number(lids: Path) -> None:
    with pytest.raises(ModelError, match=r"0\.png is not a number"):
        evaluate(Inspector(Bright(broken=True)), FORMATS["mvtec"](lids), Options("bright"), load)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_finds_plain_spots(lids: Path, name: str) -> None:
    options = Options("bright", protocol=PROTOCOLS[name])
    (runs,) = evaluate(Inspector(Bright()), FORMATS["mvtec"](lids / "lid"), options, load).values()
    assert runs[0]["pixel_ap"] is not None
    assert runs[0]["pixel_ap"] > 0.97
    assert runs[0]["pixel_f1max"] is not None
    assert runs[0]["pixel_f1max"] > 0.9


FOURS = {
    # A defective pixel on the threshold 50 / 99 of the range 0 to 198, a good one half a step below it.
    "test/spot/0": ([[0, 99, 99, 40], [100, 100, 60, 60], [198, 100, 0, 0], [60, 40, 40, 0]], [4, 5, 8, 9]),
    # Ties of good and defective pixels.
    "test/spot/1": ([[10, 10, 10, 10], [100, 150, 98, 98], [98, 98, 30, 30], [0, 0, 0, 100]], [4, 5, 6, 15]),
    # Brighter than every defective image: where good ones do not count, neither do their extremes.
    "test/good/0": ([[255, 20, 20, 20], [20, 20, 20, 20], [20, 20, 20, 20], [20, 20, 20, 0]], []),
}
"""Grey maps of 4 x 4 pixels, and which of the pixels are defective, counted row by row."""


@pytest.mark.parametrize("good_pixels", [False, True])
def test_iap_as_measures_a_class_stretched_together_at_a_hundred_thresholds(
    tmp_path: Path, good_pixels: bool
) -> None:
    """In whole numbers: a value v is positive at threshold k of 99 where 99 (v - low) >= k (high - low)."""
    draw(tmp_path / "train/good/0.png", 10)
    values: list[int] = []
    truth: list[bool] = []
    for name, (rows, defective) in FOURS.items():
        save(tmp_path / f"{name}.png", rows)
        flat = [index in defective for index in range(16)]
        if defective:  # grey above 128 is defective, 128 itself is not
            grey = np.where(np.array(flat).reshape(4, 4), 129, 128)
            save(tmp_path / f"ground_truth/{name.removeprefix('test/')}_mask.png", grey.tolist())
        if defective or good_pixels:
            values += [value for row in rows for value in row]
            truth += flat
    protocol = replace(PROTOCOLS["iap-as"], size=4, good_pixels=good_pixels)
    options = Options("bright", protocol=protocol)
    ((figures,),) = evaluate(Inspector(Bright()), FORMATS["mvtec"](tmp_path), options, load).values()

    low, high = min(values), max(values)
    assert high == (255 if good_pixels else 198)
    best = 0.0
    for k in range(100):
        positive = [99 * (value - low) >= k * (high - low) for value in values]
        hits = sum(p and t for p, t in zip(positive, truth, strict=True))
        best = max(best, 2 * hits / (sum(positive) + sum(truth)))
    assert figures["pixel_f1max"] == pytest.approx(best)
    assert figures["pixel_ap"] == pytest.approx(average_precision_score(truth, values))
    assert figures["pixel_auroc"] == pytest.approx(roc_auc_score(truth, values))
    if not good_pixels:
        assert best == pytest.approx(2 * 7 / (7 + 8)), "all above half a step, one tied pixel missed"


def save(path: Path, rows: list[list[int]]) -> None:
    """Grey rows as an image; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(np.array(rows, np.uint8)).save(path)


def test_a_protocol_runs_a_method_as_its_authors_ran_it(lids: Path) -> None:
    for name, method, expected in (
        ("iap-as", "iap-as", {"paper_eval": True}),
        ("iap-as", "bright", {}),
        ("exact", "iap-as", {}),
    ):
        bright = Bright()
        evaluate(Inspector(bright), FORMATS["mvtec"](lids), Options(method, protocol=PROTOCOLS[name]), load)
        assert [recipe.parameters for recipe in bright.recipes] == [expected] * 2


def test_a_method_that_needs_references_says_so(lids: Path) -> None:
    method = Bright(lacking="compares with references; enroll some")
    with pytest.raises(RecipeError, match="enroll some"):
        evaluate(Inspector(method), FORMATS["mvtec"](lids), Options("bright"), load)


def test_prompts_of_ones_own(lids: Path) -> None:
    method = Bright()
    options = Options("bright", prompts=lambda noun: PromptSet((f"fine {noun}",), (f"odd {noun}",)))
    evaluate(Inspector(method), FORMATS["mvtec"](lids), options, load)
    assert [recipe.prompts.normal for recipe in method.recipes] == [("fine jar top",), ("fine lid",)]


def test_means_and_deviations() -> None:
    runs: dict[str, list[Figures]] = {
        "a": [{"image_auroc": 0.8, "pro": 0.5, "images": 10}, {"image_auroc": 0.6, "pro": 0.5, "images": 11}],
        "b": [{"image_auroc": 1.0, "pro": None, "images": 4}, {"image_auroc": 1.0, "pro": None, "images": 4}],
    }
    made = report(
        runs,
        dataset="folder",
        root="images",
        method="m",
        shots=2,
        seeds=(0, 1),
        profile="p",
        machine="here",
        published=None,
    )
    assert made["categories"]["a"] == {"image_auroc": pytest.approx(0.7), "pro": 0.5, "images": 10}
    assert made["mean"] == {"image_auroc": pytest.approx(0.85), "pro": 0.5, "images": 14}
    # Means over categories are 0.9 and 0.8.
    assert made["std"] == {"image_auroc": pytest.approx(0.1 / 2**0.5), "pro": 0.0}
    assert list(made) == [
        *("dataset", "root", "method", "shots", "seeds", "profile", "machine"),
        *("categories", "mean", "std", "published"),
    ]


def test_figures_that_are_missing() -> None:
    assert mean_of([{"pro": None}, {"pro": 0.5}]) == {"pro": 0.5}
    assert mean_of([{"pro": None}]) == {"pro": None}
    assert deviation_of([{"pro": 0.5}]) == {}
    assert over_categories([{"images": 3}, {"images": 4}]) == {"images": 7}
