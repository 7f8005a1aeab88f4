"""Onboarding: a new SKU gets its recipe once, and references become a better one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from agent.domain.errors import StorageError
from agent.domain.events import Event
from agent.domain.frame import Image, Job
from agent.domain.recipe import Recipe, Reference
from agent.inference.inspector import Inspector
from agent.methods.fade import Fade, FadePrepared
from agent.onboarding import noun_of
from agent.ports import RecipeBook
from agent.recipes.cache import RecipeCache
from storage import SqlHistory, SqlRecipeBook
from tests.support.encoders import ColourEncoder
from tests.support.factory import PARAMETERS, Rooms, encoded, wait_until
from tests.support.images import part, spotted
from tests.support.onboarding import onboarding
from tests.support.schedule import ManualSchedule


class OnboardingContext:
    """An onboarding with its parts."""

    def __init__(
        self,
        rooms: Rooms,
        *,
        book: RecipeBook | None = None,
        history: SqlHistory | None = None,
        method: Fade | None = None,
        **options: Any,
    ) -> None:
        self.rooms = rooms
        self.inspector = Inspector(method or Fade(ColourEncoder(), defaults=PARAMETERS))
        book = book or rooms.book
        self.cabinet = RecipeCache(book, self.inspector, rooms.media, rooms.codec, method="fade")
        self.onboarding = onboarding(
            rooms, self.cabinet, self.inspector, book=book, history=history, **options
        )

    def reference(self, image: Image, name: str = "part") -> Reference:
        path = self.rooms.media.put(encoded(image), ".png")
        return Reference(path[6:70], path, name)

    def version(self, sku: str) -> int:
        return self.rooms.book.active_version(sku) or 0

    def active(self, sku: str) -> Recipe:
        recipe = self.rooms.book.active(sku)
        assert recipe is not None
        return recipe

    def events(self) -> list[tuple[str, str]]:
        return [(event["kind"], event["message"]) for event in self.rooms.rows("event")]

    def close(self) -> None:
        self.onboarding.close()
        self.cabinet.close()


@pytest.fixture
def build(rooms: Rooms) -> Iterator[Callable[..., OnboardingContext]]:
    made: list[OnboardingContext] = []

    def build(**parts: object) -> OnboardingContext:
        made.append(OnboardingContext(rooms, **parts))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for office in made:
        office.close()


Build = Callable[..., OnboardingContext]


def test_a_sku_that_is_met_gets_its_template_recipe_once(build: Build) -> None:
    office = build()
    for _ in range(5):
        office.onboarding.meet(Job("A"))
    wait_until(office.events, "the recipe")
    recipe = office.active("A")
    assert (recipe.version, recipe.noun, recipe.shots, recipe.calibration) == (1, "object", 0, None)
    assert len(recipe.prompts.normal) == 154
    office.onboarding.meet(Job("B"))
    wait_until(lambda: len(office.events()) == 2, "the other recipe")
    assert office.rooms.count("recipe") == 2
    assert [kind for kind, _message in office.events()] == ["recipe", "recipe"]
    assert office.cabinet.current("A").recipe.version == 1


def test_the_name_in_the_job_is_the_noun(build: Build) -> None:
    office = build()
    office.onboarding.meet(Job("A-17", name=" metal nut "))
    wait_until(lambda: office.version("A-17"), "the recipe")
    assert office.active("A-17").noun == "metal nut"
    assert "a photo of a damaged metal nut" in office.active("A-17").prompts.anomalous


def test_two_agents_that_meet_a_sku_write_one_recipe(build: Build) -> None:
    first, second = build(), build()
    first.onboarding.meet(Job("A"))
    wait_until(lambda: first.version("A"), "the recipe")
    second.onboarding.meet(Job("A"))
    second.close()
    assert first.rooms.count("recipe") == 1


def test_a_restart_does_not_write_the_recipe_again(build: Build) -> None:
    office = build()
    office.onboarding.meet(Job("A"))
    wait_until(lambda: office.version("A"), "the recipe")
    office.close()
    later = build()
    later.onboarding.start()
    later.onboarding.meet(Job("A"))
    later.close()
    assert later.rooms.count("recipe") == 1


def test_an_agent_killed_before_the_recipe_was_written_makes_up_for_it(build: Build, rooms: Rooms) -> None:
    assert rooms.book.register(Job("A", name="nut"))
    office = build()
    office.onboarding.start()
    wait_until(lambda: office.version("A"), "the recipe")
    assert office.active("A").noun == "nut"


class Refusing(SqlRecipeBook):
    """Fails a number of times before each kind of question works."""

    failures = 2

    def _maybe(self) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageError("the database is away")

    def register(self, job: Job) -> bool:
        self._maybe()
        return super().register(job)

    def add(self, recipe: Recipe, *, activate: bool = True) -> Recipe:
        self._maybe()
        return super().add(recipe, activate=activate)


def test_a_database_that_refused_is_asked_again(build: Build, rooms: Rooms) -> None:
    book = Refusing(rooms.database)
    office = build(book=book)
    for _ in range(2):
        with pytest.raises(StorageError):
            office.onboarding.meet(Job("A"))
    book.failures = 0
    office.onboarding.meet(Job("A"))
    wait_until(lambda: office.version("A"), "the recipe")


def test_a_first_recipe_that_was_given_up_is_written_once_the_database_is_back(
    build: Build, rooms: Rooms
) -> None:
    book = Refusing(rooms.database)
    book.failures = 0
    schedule = ManualSchedule()
    office = build(book=book, schedule=schedule)
    office.onboarding.start()
    rooms.book.register(Job("A", name="nut"))  # and then the database went away for longer than is waited
    schedule.run("first recipes")
    office.onboarding.settled(20.0)
    assert not office.version("A"), "whoever registered it may be at work"
    schedule.run("first recipes")
    wait_until(lambda: office.version("A"), "the recipe")
    assert office.active("A").noun == "nut"


def test_a_recipe_that_cannot_be_written_at_once_is_written_later(build: Build, rooms: Rooms) -> None:
    book = Refusing(rooms.database)
    book.failures = 0
    office = build(book=book)
    office.onboarding.refer("A", office.reference(part(1)))
    book.failures = 2
    wait_until(lambda: office.version("A") and office.active("A").shots == 1, "the recipe")


def test_references_that_come_in_a_burst_make_one_version(build: Build) -> None:
    office = build()
    for seed in range(10):
        office.onboarding.refer("A", office.reference(part(seed), f"part {seed}"))
    wait_until(lambda: office.version("A") and office.active("A").shots == 10, "the references")
    wait_until(lambda: any("calibrated" in message for _kind, message in office.events()), "the event")
    recipe = office.active("A")
    assert [reference.name for reference in recipe.references] == [f"part {seed}" for seed in range(10)]
    assert recipe.calibration is not None
    assert recipe.calibration.samples == 10
    assert recipe.version <= 3, "the template and hardly more than one burst"
    judged = office.inspector.inspect([spotted(50)], [office.cabinet.current("A")])[0]
    assert judged.verdict == "FAIL"
    assert not office.rooms.book.held_references("A")


def test_later_references_are_added_to_those_before(build: Build) -> None:
    office = build()
    for seed in range(4):
        office.onboarding.refer("A", office.reference(part(seed)))
    wait_until(lambda: office.version("A") and office.active("A").shots == 4, "four references")
    assert office.active("A").calibration is None
    for seed in range(4, 8):
        office.onboarding.refer("A", office.reference(part(seed)))
    wait_until(lambda: office.active("A").shots == 8, "eight references")
    calibration = office.active("A").calibration
    assert calibration is not None
    assert calibration.samples == 8


def test_the_same_reference_twice_counts_once(build: Build) -> None:
    office = build()
    for _ in range(3):
        office.onboarding.refer("A", office.reference(part(1)))
    wait_until(lambda: office.version("A") and office.active("A").shots == 1, "the reference")
    office.onboarding.refer("A", office.reference(part(1)))
    office.onboarding.refer("A", office.reference(part(2)))
    wait_until(lambda: office.active("A").shots == 2, "the other reference")


def test_references_from_before_a_restart_are_taken_up(build: Build, rooms: Rooms) -> None:
    path = rooms.media.put(encoded(part(1)), ".png")
    rooms.book.register(Job("A"))
    rooms.book.hold_reference("A", Reference(path[6:70], path, "part"))
    office = build()
    office.onboarding.start()
    wait_until(lambda: office.version("A") and office.active("A").shots == 1, "the reference")


def test_closing_leaves_references_for_the_next_start(build: Build) -> None:
    office = build(quiet_s=30.0)
    office.onboarding.refer("A", office.reference(part(1)))
    office.close()
    assert [r.name for r in office.rooms.book.held_references("A")] == ["part"]
    later = build(quiet_s=0.05)
    later.onboarding.start()
    wait_until(lambda: later.version("A") and later.active("A").shots == 1, "the reference")


class Failing(Fade):
    failure: Exception | None = None

    def prepare(self, recipe: Recipe, references: Sequence[Image]) -> FadePrepared:
        if self.failure is not None and references:
            raise self.failure
        return super().prepare(recipe, references)


def test_an_enrollment_that_fails_is_an_event_and_the_next_one_runs(build: Build) -> None:
    method = Failing(ColourEncoder(), defaults=PARAMETERS)
    method.failure = RuntimeError("out of memory")
    office = build(method=method)
    office.onboarding.refer("A", office.reference(part(1)))
    wait_until(lambda: "enrollment-failed" in dict(office.events()), "the event")
    assert dict(office.events())["enrollment-failed"] == "enrollment of 'A' failed: out of memory"
    event = next(e for e in office.rooms.rows("event") if e["kind"] == "enrollment-failed")
    assert (event["severity"], event["sku"]) == ("error", "A")
    method.failure = None
    office.onboarding.refer("A", office.reference(part(2)))
    wait_until(lambda: office.active("A").shots == 2, "both references")


def test_a_reference_file_that_is_gone_is_named(build: Build) -> None:
    office = build()
    reference = office.reference(part(1), "photo 17")
    (office.rooms.folder / "media" / reference.path).unlink()
    office.onboarding.refer("A", reference)
    wait_until(lambda: "enrollment-failed" in dict(office.events()), "the event")
    assert "'photo 17' cannot be read" in dict(office.events())["enrollment-failed"]


class Mute(SqlHistory):
    def record_event(self, event: Event) -> None:
        raise StorageError("away")


def test_an_event_that_cannot_be_written_stops_nothing(
    build: Build, rooms: Rooms, caplog: pytest.LogCaptureFixture
) -> None:
    method = Failing(ColourEncoder(), defaults=PARAMETERS)
    method.failure = RuntimeError("out of memory")
    office = build(method=method, history=Mute(rooms.database, agent_id="cell-7", agent_version="1"))
    with caplog.at_level(logging.ERROR):
        office.onboarding.refer("A", office.reference(part(1)))
        wait_until(lambda: "could not be written either" in caplog.text, "the log")
    method.failure = None
    office.onboarding.refer("B", office.reference(part(2)))
    wait_until(lambda: office.version("B") and office.active("B").shots == 1, "the other SKU")


@pytest.mark.parametrize("name", [None, "", "   "])
def test_a_product_without_a_name_is_an_object(name: str | None) -> None:
    assert noun_of(Job("A-17", name=name)) == "object"
