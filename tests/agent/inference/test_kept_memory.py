"""KeptMemories: a recipe from its kept memory is the same as from its references, none of which is read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest
import torch

from adapters.models.kept_files import KeptFiles
from adapters.models.kept_tensors import SUFFIX, KeptTexts, TensorFiles
from agent.domain.calibration import Calibration
from agent.domain.frame import Image
from agent.domain.recipe import Parameter, Recipe, Reference, template_recipe
from agent.domain.regions import Regions, rectangle
from agent.inference.inspector import Inspector
from agent.inference.kept_memory import KeptMemories
from agent.methods.anomaly_dino import AnomalyDino, AnomalyDinoParameters
from agent.methods.fade import Fade
from agent.methods.null import Null
from agent.methods.prepared import Method, Prepared
from agent.methods.sightline import Sightline, SightlineParameters
from agent.ports import ImageSize, ImageTextEncoder
from agent.recipes.cache import RecipeCache
from tests.support.detectors import WrittenDetector
from tests.support.encoders import ColourEncoder
from tests.support.factory import PARAMETERS, Rooms, encoded, in_use, wait_until
from tests.support.images import part, spotted

IMAGES = [part(seed, side=96) for seed in range(4)]
FRAME = spotted(50, side=96)


class CountingEncoder(ColourEncoder):
    """Counts its passes."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.images = self.texts = 0

    def encode_patches(
        self, images: Sequence[Image], size: ImageSize, *, keep_aspect: bool = False
    ) -> tuple[torch.Tensor, ...]:
        self.images += len(images)
        return super().encode_patches(images, size, keep_aspect=keep_aspect)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        self.texts += 1
        return super().encode_texts(texts)


class Unread(Sequence[Image]):
    """References that nobody may read."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: object) -> Image:  # type: ignore[override]
        raise AssertionError("a reference was read")


def fade(encoder: CountingEncoder) -> Fade:
    return Fade(encoder, defaults=replace(PARAMETERS, scales=(64, 96), bank_limit=40, spread_weight=0.5))


def sightline(encoder: CountingEncoder) -> Sightline:
    detector = WrittenDetector({"gear": [((20.0, 8.0, 60.0, 48.0), 0.8)]})
    return Sightline(encoder, None, detector, None, SightlineParameters(scales=(64,), map_size=16))


def anomaly_dino(encoder: CountingEncoder) -> AnomalyDino:
    return AnomalyDino(encoder, AnomalyDinoParameters(size=64, rotations=2))


METHODS: dict[str, Callable[[CountingEncoder], Method]] = {
    "fade": fade,
    "sightline": sightline,
    "anomaly-dino": anomaly_dino,
}
SHAPES: dict[str, tuple[dict[str, Parameter], Regions]] = {
    "whole": ({}, Regions()),
    "regions": ({}, Regions(ignore=(rectangle(0.0, 0.0, 0.4, 0.3),))),
    "own tiles": ({"tiles": "2x1"}, Regions()),
    "shared tiles": ({"tiles": "2x2", "tile_memory": "shared"}, Regions()),
}


def recipe(method: str = "fade", **parameters: Parameter) -> Recipe:
    references = tuple(Reference(f"{index:064x}", f"{index}.png", str(index)) for index in range(4))
    return replace(template_recipe("A", method, "gear"), references=references, parameters=parameters)


def files(folder: Path) -> TensorFiles:
    return TensorFiles(KeptFiles(folder, SUFFIX), torch.device("cpu"))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", METHODS)
def test_what_comes_from_the_memory_judges_the_same(tmp_path: Path, name: str, shape: str) -> None:
    parameters, regions = SHAPES[shape]
    wanted = replace(recipe(name, **parameters), regions=regions)
    first = Inspector(METHODS[name](CountingEncoder()))
    before = KeptMemories(first, files(tmp_path)).prepare(wanted, IMAGES)
    encoder = CountingEncoder()
    inspector = Inspector(METHODS[name](encoder))  # after a restart
    after = KeptMemories(inspector, files(tmp_path)).prepare(wanted, Unread(4))
    assert encoder.images == 0
    old, new = (one.score([FRAME], [prepared])[0] for one, prepared in ((first, before), (inspector, after)))
    assert new.score == old.score
    assert new.anomaly_map is not None
    assert old.anomaly_map is not None
    assert torch.equal(new.anomaly_map, old.anomaly_map)
    assert after.recipe == before.recipe == wanted
    assert after.complete == before.complete
    left = [inspector.score([FRAME], [one.without({1})])[0].score for one in (before, after)]
    assert left[0] == left[1]
    unlike = [inspector.inspect([FRAME[:40]], [one])[0].unlike for one in (before, after)]
    assert unlike[0] == unlike[1] is not None


def remade(before: Recipe, after: Recipe, folder: Path) -> bool:
    """Whether the second of two versions encodes references."""
    encoder = CountingEncoder()
    memories = KeptMemories(Inspector(fade(encoder)), files(folder))
    memories.prepare(before, IMAGES[: before.shots])
    fresh = CountingEncoder()
    KeptMemories(Inspector(fade(fresh)), files(folder)).prepare(after, IMAGES[: after.shots])
    return fresh.images > 0


CALIBRATION = Calibration(0.5, 0.4, 16, 0.01, "test")
SAME = {
    "threshold": lambda one: replace(one, calibration=CALIBRATION),
    "name": lambda one: replace(one, noun="bolt"),
    "words": lambda one: replace(one, prompts=template_recipe("A", "fade", "bolt").prompts),
    "version": lambda one: replace(one, version=7, id=9, sku="B"),
    "scoring": lambda one: replace(one, parameters={"few_shot_gain": 2.0, "pool_fraction": 0.1}),
    "weight of the spread": lambda one: replace(one, parameters={"spread_weight": 0.7}),
}
OTHER = {
    "references": lambda one: replace(one, references=one.references[:3]),
    "order": lambda one: replace(one, references=one.references[::-1]),
    "regions": lambda one: replace(one, regions=Regions(ignore=(rectangle(0.0, 0.0, 0.4, 0.3),))),
    "tiles": lambda one: replace(one, parameters={"tiles": "2x1"}),
    "scales": lambda one: replace(one, parameters={"scales": [32]}),
    "variants": lambda one: replace(one, parameters={"brightness": [1.0, 1.2]}),
    "coreset": lambda one: replace(one, parameters={"bank_limit": 20}),
    "no spread": lambda one: replace(one, parameters={"spread_weight": 0.0}),
}


@pytest.mark.parametrize("edit", SAME)
def test_edits_that_no_memory_depends_on_reuse_it(tmp_path: Path, edit: str) -> None:
    assert not remade(recipe(), SAME[edit](recipe()), tmp_path)


@pytest.mark.parametrize("edit", OTHER)
def test_other_edits_make_it_anew(tmp_path: Path, edit: str) -> None:
    assert remade(recipe(), OTHER[edit](recipe()), tmp_path)


def test_other_weights_make_it_anew(tmp_path: Path) -> None:
    KeptMemories(Inspector(fade(CountingEncoder(seed=0))), files(tmp_path)).prepare(recipe(), IMAGES)
    encoder = CountingEncoder(seed=1)
    KeptMemories(Inspector(fade(encoder)), files(tmp_path)).prepare(recipe(), IMAGES)
    assert encoder.images > 0


def test_where_the_product_is_located_depends_on_its_name(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    KeptMemories(Inspector(sightline(encoder)), files(tmp_path)).prepare(recipe("sightline"), IMAGES)
    before = encoder.images
    named = replace(recipe("sightline"), noun="bolt")
    KeptMemories(Inspector(sightline(encoder)), files(tmp_path)).prepare(named, IMAGES)
    assert encoder.images > before


def test_without_a_folder_another_version_lends_its_memory() -> None:
    encoder = CountingEncoder()
    memories = KeptMemories(Inspector(fade(encoder)))
    before = memories.prepare(recipe(), IMAGES)
    encoder.images = 0
    after = memories.prepare(replace(recipe(), calibration=CALIBRATION), Unread(4), before)
    assert encoder.images == 0
    assert after.recipe.calibration == CALIBRATION


@pytest.mark.parametrize("content", [b"", b"not a tensor"])
def test_a_damaged_file_is_made_anew(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = CountingEncoder()
    memories = KeptMemories(Inspector(fade(encoder)), files(tmp_path))
    memories.prepare(recipe(), IMAGES)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    encoder.images = 0
    fresh = KeptMemories(Inspector(fade(encoder)), files(tmp_path))
    with caplog.at_level(logging.WARNING):
        fresh.prepare(recipe(), IMAGES)
    assert "is damaged and is made anew" in caplog.text
    fresh.prepare(recipe(), Unread(4))


def test_a_whole_file_that_holds_no_tensors_is_made_anew(tmp_path: Path) -> None:
    kept = KeptFiles(tmp_path, SUFFIX)
    kept.put("a" * 64, b"written by another version")
    assert TensorFiles(kept, torch.device("cpu")).get("a" * 64) is None


def test_a_method_without_a_memory_keeps_none(tmp_path: Path) -> None:
    memories = KeptMemories(Inspector(Null(0.0)), files(tmp_path))
    memories.prepare(recipe("null"), IMAGES)
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------- the recipes of an agent


@dataclass
class Restarted:
    """A recipe cache as after a start, and what its encoder did."""

    rooms: Rooms

    def __post_init__(self) -> None:
        self.encoder = CountingEncoder()
        folder = self.rooms.folder / "cache"
        kept = KeptTexts(self.encoder, files(folder / "texts"))
        method = Fade(cast(ImageTextEncoder, kept), defaults=PARAMETERS)
        rooms, memories = self.rooms, files(folder / "memories")
        self.cache = RecipeCache(
            rooms.book, Inspector(method), rooms.media, rooms.codec, method="fade", kept=memories
        )

    def prepared(self, sku: str) -> Prepared:
        return in_use(self.cache, sku)


def enrolled(rooms: Rooms, sku: str, seeds: Sequence[int]) -> Recipe:
    references = []
    for seed in seeds:
        path = rooms.media.put(encoded(part(seed)), ".png")
        references.append(Reference(Path(path).stem, path, f"part {seed}"))
    return rooms.book.add(
        replace(template_recipe(sku, "fade", f"noun of {sku}"), references=tuple(references))
    )


def test_a_restart_with_everything_kept_encodes_nothing(rooms: Rooms) -> None:
    skus = [f"sku-{number}" for number in range(5)]
    for number, sku in enumerate(skus):
        enrolled(rooms, sku, range(number, number + 3))
    first = Restarted(rooms)
    before = [first.prepared(sku) for sku in skus]
    first.cache.close()
    assert first.encoder.images == 7, "each image once"
    second = Restarted(rooms)
    after = [second.prepared(sku) for sku in skus]
    second.cache.close()
    assert (second.encoder.images, second.encoder.texts) == (0, 0)
    inspector = Inspector(Fade(ColourEncoder(), defaults=PARAMETERS))
    for old, new in zip(before, after, strict=True):
        scores = [inspector.score([spotted(50)], [one])[0].score for one in (old, new)]
        assert scores[0] == scores[1]


def test_going_back_to_a_version_encodes_nothing(rooms: Rooms) -> None:
    enrolled(rooms, "A", range(3))
    agent = Restarted(rooms)
    agent.prepared("A")
    enrolled(rooms, "A", range(5))
    wait_until(lambda: agent.prepared("A").recipe.version == 2, "the newer version")
    encoded_before = agent.encoder.images
    rooms.book.activate("A", 1)
    wait_until(lambda: agent.prepared("A").recipe.version == 1, "the older version")
    agent.cache.close()
    assert agent.encoder.images == encoded_before
    assert agent.prepared("A").recipe.shots == 3


def test_what_was_enrolled_needs_no_reference_after_a_restart(rooms: Rooms) -> None:
    recipe = enrolled(rooms, "A", range(3))
    agent = Restarted(rooms)
    prepared = agent.cache._inspector.prepare(recipe, agent.cache.images(recipe.references))
    agent.cache.put(prepared)
    agent.cache.close()
    for reference in recipe.references:
        (rooms.folder / "media" / reference.path).unlink()
    restarted = Restarted(rooms)
    assert restarted.prepared("A").recipe.shots == 3
    restarted.cache.close()
    assert restarted.encoder.images == 0
