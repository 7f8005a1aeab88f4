"""RecipeCache: the active version of a recipe, ready for the next frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from agent.domain.calibration import Calibration
from agent.domain.errors import RecipeError, StorageError
from agent.domain.frame import Image
from agent.domain.recipe import Recipe, Reference, template_recipe
from agent.inference.inspector import Inspector
from agent.methods.fade import Fade, FadePrepared
from agent.methods.prepared import Groups
from agent.recipes.cache import RecipeCache
from storage import SqlRecipeBook
from tests.support.encoders import ColourEncoder
from tests.support.factory import PARAMETERS, Rooms, encoded, in_use, wait_until
from tests.support.images import part


class CountingFade(Fade):
    """Counts what it prepares."""

    def __init__(self) -> None:
        super().__init__(ColourEncoder(), defaults=PARAMETERS)
        self.prepared: list[tuple[str, int]] = []
        self.failure: Exception | None = None

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> FadePrepared:
        self.prepared.append((recipe.sku, recipe.version))
        if self.failure is not None:
            raise self.failure
        return super().prepare(recipe, references)


@pytest.fixture
def method() -> CountingFade:
    return CountingFade()


def make(rooms: Rooms, method: Fade, book: SqlRecipeBook | None = None, **options: Any) -> RecipeCache:
    return RecipeCache(
        book or rooms.book, Inspector(method), rooms.media, rooms.codec, method="fade", **options
    )


@pytest.fixture
def cache(rooms: Rooms, method: CountingFade) -> Iterator[RecipeCache]:
    made = make(rooms, method)
    method.prepared.clear()
    yield made
    made.close()


def add(rooms: Rooms, sku: str, shots: int = 0) -> Recipe:
    references = []
    for seed in range(shots):
        path = rooms.media.put(encoded(part(seed)), ".png")
        references.append(Reference(path[6:70], path, f"part {seed}"))
    return rooms.book.add(replace(template_recipe(sku, "fade"), references=tuple(references)))


def versions(cache: RecipeCache, sku: str) -> int:
    return in_use(cache, sku).recipe.version


def test_an_unknown_sku_is_inspected_with_the_template(cache: RecipeCache, method: CountingFade) -> None:
    prepared = in_use(cache, "never seen")
    assert prepared.recipe.sku == "never seen"
    assert (prepared.recipe.version, prepared.recipe.id, prepared.recipe.calibration) == (0, None, None)
    assert prepared.recipe.noun == "object"
    assert not method.prepared, "the template was prepared once, at the start"


def test_a_recipe_is_prepared_once_with_its_references(
    rooms: Rooms, cache: RecipeCache, method: CountingFade
) -> None:
    add(rooms, "A", shots=2)
    first = in_use(cache, "A")
    assert first.recipe.shots == 2
    assert isinstance(first, FadePrepared)
    assert first.banks[0].owners.unique().tolist() == [0, 1]
    assert cache.current("A") is first
    assert method.prepared == [("A", 1)]


def test_a_newer_version_takes_over_without_holding_up_frames(
    rooms: Rooms, cache: RecipeCache, method: CountingFade
) -> None:
    add(rooms, "A")
    assert versions(cache, "A") == 1
    add(rooms, "A", shots=1)
    assert versions(cache, "A") == 1, "the frame at hand does not wait"
    wait_until(lambda: versions(cache, "A") == 2, "the new version")
    assert method.prepared == [("A", 1), ("A", 2)]


def test_going_back_to_an_older_version_works_too(rooms: Rooms, cache: RecipeCache) -> None:
    add(rooms, "A")
    add(rooms, "A", shots=1)
    assert versions(cache, "A") == 2
    rooms.book.activate("A", 1)
    wait_until(lambda: versions(cache, "A") == 1, "the older version")
    assert not in_use(cache, "A").recipe.references


def test_what_was_just_enrolled_needs_no_preparing(
    rooms: Rooms, cache: RecipeCache, method: CountingFade
) -> None:
    recipe = add(rooms, "A")
    prepared = method.prepare(recipe, ())
    method.prepared.clear()
    cache.put(prepared)
    assert cache.current("A") is prepared
    assert not method.prepared


def test_the_least_recently_used_is_dropped(rooms: Rooms, method: CountingFade) -> None:
    cache = make(rooms, method, capacity=2)
    method.prepared.clear()
    for sku in "ABC":
        add(rooms, sku)
    for sku in "ABACA":
        in_use(cache, sku)
    assert [sku for sku, _version in method.prepared] == ["A", "B", "C"]
    in_use(cache, "B")
    assert [sku for sku, _version in method.prepared] == ["A", "B", "C", "B"]
    cache.close()


@pytest.mark.parametrize(
    "failure", [RecipeError("a wrong parameter"), StorageError("away"), RuntimeError("out of memory")]
)
def test_a_version_that_cannot_be_prepared_leaves_the_one_at_hand(
    rooms: Rooms, cache: RecipeCache, method: CountingFade, failure: Exception
) -> None:
    add(rooms, "A")
    assert versions(cache, "A") == 1
    method.failure = failure
    add(rooms, "A")

    def asked() -> int:
        assert versions(cache, "A") == 1
        return method.prepared.count(("A", 2))

    wait_until(asked, "the attempt")
    for _ in range(20):
        assert asked() == 1, "it is not tried for every frame"
    method.failure = None
    add(rooms, "A")
    wait_until(lambda: versions(cache, "A") == 3, "a version that can be prepared")


def test_a_version_that_could_not_be_prepared_is_tried_again_later(
    rooms: Rooms, method: CountingFade
) -> None:
    cache = make(rooms, method, refused_s=0.0)
    add(rooms, "A")
    assert versions(cache, "A") == 1
    method.failure = StorageError("away")
    add(rooms, "A")
    wait_until(lambda: (versions(cache, "A"), len(method.prepared) >= 3)[1], "another attempt")
    method.failure = None
    wait_until(lambda: versions(cache, "A") == 2, "the version")
    cache.close()


def test_an_only_version_that_cannot_be_prepared_raises(
    rooms: Rooms, cache: RecipeCache, method: CountingFade
) -> None:
    add(rooms, "A")
    method.failure = RecipeError("a wrong parameter")
    with pytest.raises(RecipeError, match="a wrong parameter"):
        in_use(cache, "A")
    method.failure = None
    add(rooms, "A")
    assert versions(cache, "A") == 2, "another version is tried at once"


@pytest.mark.parametrize("harm", ["gone", "no image"])
def test_a_reference_that_cannot_be_read_is_an_error_of_its_recipe(
    rooms: Rooms, cache: RecipeCache, harm: str
) -> None:
    """Not the database's: waiting for it would hold up every other SKU."""
    if harm == "gone":
        recipe = add(rooms, "A", shots=1)
        (rooms.folder / "media" / recipe.references[0].path).unlink()
    else:
        path = rooms.media.put(b"no image at all", ".png")
        reference = Reference(path[6:70], path, "part 0")
        rooms.book.add(replace(template_recipe("A", "fade"), references=(reference,)))
    with pytest.raises(RecipeError, match="reference 'part 0' cannot be read"):
        in_use(cache, "A")


def test_a_database_that_is_away_is_raised(rooms: Rooms, method: CountingFade) -> None:
    class Away(SqlRecipeBook):
        def active_version(self, sku: str) -> int | None:
            raise StorageError("away")

    cache = make(rooms, method, book=Away(rooms.database))
    with pytest.raises(StorageError):
        cache.current("A")
    cache.close()


def test_a_threshold_of_another_model_judges_nobody(
    rooms: Rooms, cache: RecipeCache, method: CountingFade
) -> None:
    recipe = add(rooms, "A", shots=1)
    own = Calibration(0.5, 0.4, 16, 0.01, "test", scorer=method.fingerprint)
    rooms.book.add(replace(recipe, calibration=own))
    assert in_use(cache, "A").recipe.calibration == own
    rooms.book.add(replace(recipe, sku="B", calibration=replace(own, scorer="another model")))
    assert in_use(cache, "B").recipe.calibration is None


def test_the_fingerprint_changes_with_parameters_and_weights() -> None:
    encoder = ColourEncoder()
    plain = Fade(encoder, defaults=PARAMETERS).fingerprint
    assert Fade(encoder, defaults=PARAMETERS).fingerprint == plain
    assert Fade(encoder, defaults=replace(PARAMETERS, map_size=32)).fingerprint != plain
    assert Fade(encoder, ColourEncoder(), defaults=PARAMETERS).fingerprint != plain
