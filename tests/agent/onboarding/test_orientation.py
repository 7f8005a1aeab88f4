"""As references come in, how the parts lie is decided again; the version's note names what changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from adapters.simulator import Product, Station, draw
from agent.app.models import build_inspector
from agent.domain.frame import Job
from agent.domain.recipe import Recipe, Reference
from agent.enrollment.orientation import OrientationPolicy, with_angles
from agent.event_log import EventLog
from agent.recipes.cache import RecipeCache
from agent.telemetry import Counters
from config import load
from tests.support.factory import Rooms, encoded
from tests.support.onboarding import onboarding

SEED = 1_600_000


class Shop:
    """An onboarding with the bundled model, on real storage."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        settings = load(profile="embedded", overrides=["references.max_patches=256"]).settings
        inspector = build_inspector(settings)
        self.recipe_cache = RecipeCache(rooms.book, inspector, rooms.media, rooms.codec, method="sightline")
        self.event_log = EventLog(rooms.history, (), Counters())
        self.onboarding = onboarding(
            rooms,
            self.recipe_cache,
            inspector,
            events=self.event_log,
            method="sightline",
            orientation=OrientationPolicy(),
        )
        self.given = 0

    def enroll(self, station: Station, count: int) -> Recipe:
        """So many more connectors; the version that results."""
        product = Product.create("connector", SEED)
        for number in range(self.given, self.given + count):
            image = encoded(draw(product, station, SEED + number, size=256).image)
            path = self.rooms.media.put(image, ".png")
            self.rooms.book.hold_reference("A", Reference(path[6:70], path, f"part {number}"))
        self.given += count
        self.onboarding.add_reference("A", self.rooms.book.held_references("A")[0])
        self.onboarding.wait()
        recipe = self.rooms.book.active("A")
        assert recipe is not None
        return recipe

    def messages(self) -> str:
        self.event_log.flush()
        return "\n".join(str(event["message"]) for event in self.rooms.rows("event"))


@pytest.fixture
def shop(rooms: Rooms) -> Iterator[Shop]:
    shop = Shop(rooms)
    shop.onboarding.register(Job("A"))
    yield shop
    shop.onboarding.close()
    shop.recipe_cache.close()


@pytest.mark.slow
def test_the_decision_is_repeated_with_all_references_and_reported(shop: Shop) -> None:
    first = shop.enroll(Station.loose(SEED), 1)
    assert first.parameters == {}
    assert first.note is None
    rotated = shop.enroll(Station.loose(SEED), 3)
    assert rotated.parameters == {"angles": [index * 45.0 for index in range(8)]}
    assert rotated.note == "references are memorised in 8 directions: the parts lie in any"
    assert f"'A' has 4 references, not calibrated yet; {rotated.note}" in shop.messages()


@pytest.mark.slow
def test_a_persons_angles_stay(shop: Shop) -> None:
    first = shop.enroll(Station.loose(SEED), 1)
    theirs = replace(with_angles(first, [0.0]), origin="import", parent=first.version, id=None, version=0)
    shop.rooms.book.add(theirs)
    later = shop.enroll(Station.loose(SEED), 3)
    assert later.shots == 4
    assert later.parameters == {"angles": [0.0]}
    assert later.note is None
