"""WarmUp: recipes of the last shift are prepared at the start, before the agent is ready."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from agent.domain.errors import RecipeError
from agent.domain.frame import Camera
from agent.domain.recipe import Reference, template_recipe
from agent.inference.inspector import Inspector
from agent.methods.prepared import Method
from agent.recipes.cache import RecipeCache
from agent.recipes.warm_up import WarmUp
from tests.agent.pipeline.test_awaiting_recipes import SlowFade
from tests.support.factory import Rooms, encoded, wait_until
from tests.support.images import part
from tests.support.plant import Plant, frame

CAMERA = Camera("plant", "line-1", "c")


@pytest.fixture
def yesterday(rooms: Rooms) -> Rooms:
    """A history of three products, two of which were inspected."""
    path = rooms.media.put(encoded(part(0)), ".png")
    for sku in "ABC":
        reference = Reference(path[6:70], path, "part 0")
        rooms.book.add(replace(template_recipe(sku, "fade"), references=(reference,)))
    plant = Plant(rooms)
    plant.pipeline.start()
    plant.inspected(frame(1, CAMERA, sku="A"), frame(2, CAMERA, sku="B"))
    plant.pipeline.stop(10.0)
    return rooms


@pytest.fixture
def start(yesterday: Rooms) -> Iterator[Callable[..., tuple[RecipeCache, WarmUp]]]:
    """Begins as an agent does."""
    caches: list[RecipeCache] = []

    def start(method: Method, **options: Any) -> tuple[RecipeCache, WarmUp]:
        rooms, inspector = yesterday, Inspector(method)
        cache = RecipeCache(rooms.book, inspector, rooms.media, rooms.codec, method="fade", **options)
        caches.append(cache)
        warm_up = WarmUp(cache, rooms.samples)
        warm_up.start()
        return cache, warm_up

    yield start
    for cache in caches:
        cache.close()


Start = Callable[..., tuple[RecipeCache, WarmUp]]


def test_it_is_over_once_the_products_of_the_last_shift_are_prepared(start: Start) -> None:
    method = SlowFade()
    cache, warm_up = start(method)
    assert method.preparing.wait(20.0)
    wait_until(lambda: "0 of 2" in (warm_up.left or ""), "the progress")
    method.may_prepare.set()
    wait_until(lambda: warm_up.left is None, "the end")
    assert method.prepared == ["B", "A"], "the one that was made last comes first; C was not made"
    assert cache.current("A") is not None
    assert cache.current("B") is not None
    assert len(method.prepared) == 2


def test_no_more_are_prepared_than_are_kept(start: Start) -> None:
    method = SlowFade()
    method.may_prepare.set()
    _, warm_up = start(method, capacity=1)
    wait_until(lambda: warm_up.left is None, "the end")
    assert method.prepared == ["B"]


def test_a_recipe_that_cannot_be_prepared_holds_up_nothing(start: Start) -> None:
    method = SlowFade()
    method.refusal = RecipeError("a wrong parameter")
    method.may_prepare.set()
    _, warm_up = start(method)
    wait_until(lambda: warm_up.left is None, "the end")
    assert len(method.prepared) == 2


def test_a_recipe_that_a_frame_waits_for_comes_before_the_rest(start: Start) -> None:
    method = SlowFade()
    cache, warm_up = start(method)
    assert method.preparing.wait(20.0)
    assert cache.current("C") is None, "a frame of a product that was not made yesterday"
    method.may_prepare.set()
    wait_until(lambda: warm_up.left is None, "the end")
    assert method.prepared == ["B", "C", "A"]
