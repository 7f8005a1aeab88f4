"""As references come in, it is looked at again how the parts lie; what changes is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from adapters.simulator import Product, Station, draw
from agent.app.models import build_inspector
from agent.domain.frame import Job
from agent.domain.recipe import Recipe, Reference
from agent.enrollment.orientation import OrientationPolicy, posed
from agent.recipes.cache import RecipeCache
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
        self.cabinet = RecipeCache(rooms.book, inspector, rooms.media, rooms.codec, method="sightline")
        self.onboarding = onboarding(
            rooms, self.cabinet, inspector, method="sightline", pose=OrientationPolicy()
        )
        self.given = 0

    def refer(self, station: Station, count: int) -> Recipe:
        """So many connectors more; the version that was made of them."""
        product = Product.create("connector", SEED)
        for number in range(self.given, self.given + count):
            image = encoded(draw(product, station, SEED + number, size=256).image)
            path = self.rooms.media.put(image, ".png")
            self.rooms.book.hold_reference("A", Reference(path[6:70], path, f"part {number}"))
        self.given += count
        self.onboarding.refer("A", self.rooms.book.held_references("A")[0])
        self.onboarding.settled()
        recipe = self.rooms.book.active("A")
        assert recipe is not None
        return recipe

    def messages(self) -> str:
        return "\n".join(str(event["message"]) for event in self.rooms.rows("event"))


@pytest.fixture
def shop(rooms: Rooms) -> Iterator[Shop]:
    shop = Shop(rooms)
    shop.onboarding.meet(Job("A"))
    yield shop
    shop.onboarding.close()
    shop.cabinet.close()


def test_the_look_is_repeated_with_all_references_and_its_outcome_told(shop: Shop) -> None:
    first = shop.refer(Station.loose(SEED), 1)
    assert first.parameters == {}
    assert first.note is None
    turned = shop.refer(Station.loose(SEED), 3)
    assert turned.parameters == {"angles": [index * 45.0 for index in range(8)]}
    assert turned.note == "references are memorised in 8 directions: the parts lie in any"
    assert f"'A' has 4 references, not calibrated yet; {turned.note}" in shop.messages()


def test_a_person_s_angles_stay(shop: Shop) -> None:
    first = shop.refer(Station.loose(SEED), 1)
    theirs = replace(posed(first, [0.0]), origin="import", parent=first.version, id=None, version=0)
    shop.rooms.book.add(theirs)
    later = shop.refer(Station.loose(SEED), 3)
    assert later.shots == 4
    assert later.parameters == {"angles": [0.0]}
    assert later.note is None
