"""References that come in over the topic are judged in the tiles of their recipe, or of the configuration."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.domain.frame import Job
from agent.domain.recipe import Recipe, Reference
from agent.domain.tiling import Tiling
from agent.domain.verdict import Verdict
from agent.inference.inspector import Inspector
from agent.inference.tiled import with_tiles
from agent.onboarding import OnboardingCoordinator
from agent.recipes.cache import RecipeCache
from tests.support.factory import Rooms, encoded, in_use
from tests.support.images import part, spotted
from tests.support.onboarding import onboarding


@pytest.fixture
def recipe_cache(rooms: Rooms, inspector: Inspector) -> Iterator[RecipeCache]:
    cache = RecipeCache(rooms.book, inspector, rooms.media, rooms.codec, method="fade")
    yield cache
    cache.close()


@pytest.fixture
def coordinator(
    rooms: Rooms, inspector: Inspector, recipe_cache: RecipeCache
) -> Iterator[OnboardingCoordinator]:
    made = onboarding(rooms, recipe_cache, inspector, tiling=Tiling("2x2"))
    made.register(Job("A"))
    made.wait()
    yield made
    made.close()


def give(rooms: Rooms, coordinator: OnboardingCoordinator, first: int, count: int) -> Recipe:
    for seed in range(first, first + count):
        path = rooms.media.put(encoded(part(seed, side=96)), ".png")
        coordinator.add_reference("A", Reference(path[6:70], path, f"part {seed}"))
    coordinator.wait()
    recipe = rooms.book.active("A")
    assert recipe is not None
    return recipe


def test_the_configuration_divides_new_products_and_the_recipe_remembers(
    rooms: Rooms, coordinator: OnboardingCoordinator, recipe_cache: RecipeCache, inspector: Inspector
) -> None:
    recipe = give(rooms, coordinator, 0, 9)
    assert recipe.parameters["tiles"] == "2x2"
    levels = recipe.parameters["tile_levels"]
    assert isinstance(levels, list)
    assert len(levels) == 4
    assert recipe.calibration is not None
    frames = [part(50, side=96), spotted(51, side=96)]
    used = in_use(recipe_cache, "A")
    verdicts = [one.verdict for one in inspector.inspect(frames, [used] * 2)]
    assert verdicts == [Verdict.PASS, Verdict.FAIL]
    anew = inspector.prepare(recipe, recipe_cache.images(recipe.references))  # as after a restart
    both = [inspector.score(frames, [one] * 2)[0].score for one in (anew, used)]
    assert both[0] == pytest.approx(both[1], rel=1e-6)


def test_what_a_person_chose_stands(rooms: Rooms, coordinator: OnboardingCoordinator) -> None:
    first = give(rooms, coordinator, 0, 2)
    rooms.book.add(with_tiles(first, Tiling("1x1")))
    assert give(rooms, coordinator, 2, 2).parameters == {"tiles": "1x1"}
