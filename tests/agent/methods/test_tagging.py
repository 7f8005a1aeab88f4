"""Stage 1 of IAP-AS: the object tag of references (METHODS section 3.1)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.prompts import NamedDefect, PromptSet
from agent.domain.recipe import Parameter, Recipe, Reference
from agent.methods import build_method
from agent.methods.iap_as import IapAs
from agent.methods.tagging import drawn, object_tag, usable
from agent.ports import Detections
from tests.support.detectors import Box, FillingSegmenter, WrittenDetector, WrittenTagger
from tests.support.images import part

PROMPTS = PromptSet(("good",), ("bad",), (NamedDefect("hole", ("a hole",)),))
WHOLE: Box = (0, 0, 64, 64)


class Answering:
    """Gives each image in turn the boxes that were written down: phrases with scores."""

    def __init__(self, *rows: list[tuple[str, float]]) -> None:
        self._rows = list(rows)
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, images: Sequence[Image], phrases: Sequence[Sequence[str]]) -> list[Detections]:
        self.asked += [tuple(each) for each in phrases]
        row = self._rows.pop(0)
        scores = np.array([score for _, score in row], np.float32)
        return [Detections(np.zeros((len(row), 4), np.float32), scores, tuple(phrase for phrase, _ in row))]


def test_the_phrase_with_the_highest_score_over_all_images_is_taken() -> None:
    detect = Answering(
        [("bottle", 0.5), ("table", 0.4)],
        [("bottle", 0.45), ("cap", 0.44)],
        [("green bottle cap", 0.7), ("bottle", 0.6)],
    )
    tagger = WrittenTagger(("bottle", "table"))
    assert object_tag([part(0), part(1), part(2)], tagger, detect, most=5) == "green bottle cap"
    assert detect.asked == [("bottle", "table")] * 3
    assert tagger.most == [5, 5, 5]


def test_only_the_best_box_of_an_image_counts() -> None:
    """The table is nowhere best, although it is second with more than the other images' best."""
    detect = Answering([("bottle", 0.9), ("table", 0.8)], [("cap", 0.3)])
    assert object_tag([part(0), part(1)], WrittenTagger(("x",)), detect, most=5) == "bottle"


def test_an_earlier_image_wins_at_equality() -> None:
    detect = Answering([("cap", 0.5)], [("lid", 0.5)])
    assert object_tag([part(0), part(1)], WrittenTagger(("x",)), detect, most=5) == "cap"


def test_where_nothing_is_found_the_tag_of_most_images_stands_in() -> None:
    tagger = WrittenTagger(("gear", "wheel"), ("wheel", "disc"), ("disc", "wheel"))
    nothing = Answering([], [("", 0.9)], [])
    assert object_tag([part(0), part(1), part(2)], tagger, nothing, most=5) == "wheel"
    assert object_tag([part(0)], WrittenTagger(("gear", "wheel")), Answering([]), most=5) == "gear"
    assert object_tag([part(0)], WrittenTagger(()), Answering(), most=5) is None
    assert object_tag([], WrittenTagger(("gear",)), Answering(), most=5) is None


def test_tags_of_how_an_image_was_taken_are_left_out() -> None:
    tags = ("Close-Up", " Gear  wheel ", "number.", "gear wheel", "", "bolt.")
    assert usable(tags) == ("gear wheel", "bolt")
    assert usable(("scratch", "bolt"), {"scratch"}) == ("bolt",)


def test_at_most_ten_images_are_drawn_by_the_authors_seed() -> None:
    assert drawn(3, 10, 111) == [0, 1, 2]
    lot = drawn(40, 10, 111)
    assert lot == random.Random(111).sample(range(40), 10)
    assert len(set(lot)) == 10


def recipe(noun: str, references: int, **parameters: Parameter) -> Recipe:
    names = tuple(Reference(str(i), f"{i}.png", str(i)) for i in range(references))
    return Recipe("A", noun, PROMPTS, "iap-as", parameters, references=names)


def method(tagger: WrittenTagger | None) -> tuple[IapAs, WrittenDetector]:
    detector = WrittenDetector({"gear": [(WHOLE, 0.8)], "hole": [((0, 0, 30, 30), 0.5)]})
    built = build_method("iap-as", None, None, detector, FillingSegmenter(), tagger=tagger)
    assert isinstance(built, IapAs)
    return built, detector


def test_a_product_without_a_noun_is_called_by_its_tag() -> None:
    iap, detector = method(WrittenTagger(("hole", "gear", "wheel")))
    prepared = iap.prepare(recipe("Object", 2), [part(0), part(1)])
    assert prepared.noun == "gear", "a hole is a defect here, whatever its score"
    assert detector.asked == [("gear", "wheel")] * 2
    assert prepared.phrases == ("hole", "abnormal", "defect", "gear")
    detector.asked.clear()
    scored = iap.score([part(3)], [prepared])[0]
    assert detector.asked == [prepared.phrases, ("gear",)], "its size is that of the tag's box"
    assert scored.score == pytest.approx(0.5)


def test_a_recipes_own_noun_is_used() -> None:
    tagger = WrittenTagger(("gear",))
    iap, _ = method(tagger)
    assert iap.prepare(recipe("Cog", 1), [part(0)]).noun == "cog"
    assert iap.prepare(recipe("object", 0), ()).noun == "object", "there is nothing to look at"
    assert tagger.images == []
    assert method(None)[0].prepare(recipe("object", 1), [part(0)]).noun == "object"


def test_how_many_images_and_tags_are_parameters() -> None:
    tagger = WrittenTagger(("gear", "wheel", "cog"))
    iap, detector = method(tagger)
    iap.prepare(recipe("object", 3, tag_images=2, tag_count=1), [part(i) for i in range(3)])
    assert len(tagger.images) == 2
    assert detector.asked == [("gear",)] * 2
    with pytest.raises(RecipeError, match="tag_images and tag_count are at least 1"):
        iap.prepare(recipe("object", 0, tag_images=0), ())


def test_another_vocabulary_is_another_scorer() -> None:
    first, second = WrittenTagger(("gear",)), WrittenTagger(("gear",))
    second.digest = "0" * 64
    assert method(first)[0].fingerprint != method(second)[0].fingerprint
    assert method(first)[0].digest == method(None)[0].digest, "tags are not part of the scores themselves"


def test_a_lent_recipe_keeps_its_tag() -> None:
    iap, _ = method(WrittenTagger(("gear",)))
    first = recipe("object", 1)
    later = replace(first, sku="B")
    prepared = iap.prepare(first, [part(0)]).with_recipe(later)
    assert (prepared.noun, prepared.recipe) == ("gear", later)
