"""Onboarding: a new SKU gets its recipe once, and references become a better one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.domain.errors import StorageError
from agent.domain.events import Event
from agent.domain.frame import Camera, FrameIdentity, Image, Job
from agent.domain.inspection import Inspection, MediaPaths
from agent.domain.recipe import Recipe, Reference
from agent.domain.verdict import Verdict
from agent.enrollment.first_frames import commission
from agent.event_log import EventLog
from agent.inference.inspector import Inspector
from agent.methods.fade import Fade, FadePrepared
from agent.methods.prepared import Groups
from agent.onboarding import noun_of
from agent.ports import Entry, OutboxMessage, RecipeBook
from agent.recipes.cache import RecipeCache
from agent.telemetry import Counters
from storage import SqlHistory, SqlRecipeBook
from tests.support.encoders import ColourEncoder
from tests.support.factory import PARAMETERS, Rooms, encoded, in_use, wait_until
from tests.support.images import part, spotted
from tests.support.onboarding import onboarding
from tests.support.schedule import ManualSchedule


class Shop:
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
        self.recipe_cache = RecipeCache(book, self.inspector, rooms.media, rooms.codec, method="fade")
        self.event_log = EventLog(history or rooms.history, (), Counters())
        self.onboarding = onboarding(
            rooms, self.recipe_cache, self.inspector, book=book, events=self.event_log, **options
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
        self.event_log.flush()
        return [(event["kind"], event["message"]) for event in self.rooms.rows("event")]

    def close(self) -> None:
        self.onboarding.close()
        self.recipe_cache.close()


Build = Callable[..., Shop]


@pytest.fixture
def build(rooms: Rooms) -> Iterator[Build]:
    made: list[Shop] = []

    def build(**parts: Any) -> Shop:
        made.append(Shop(rooms, **parts))
        return made[-1]

    yield build
    for shop in made:
        shop.close()


def test_a_new_sku_gets_its_template_recipe_once(build: Build) -> None:
    shop = build()
    for _ in range(5):
        shop.onboarding.register(Job("A"))
    wait_until(shop.events, "the recipe")
    recipe = shop.active("A")
    assert (recipe.version, recipe.noun, recipe.shots, recipe.calibration) == (1, "object", 0, None)
    assert len(recipe.prompts.normal) == 154
    shop.onboarding.register(Job("B"))
    wait_until(lambda: len(shop.events()) == 2, "the other recipe")
    assert shop.rooms.count("recipe") == 2
    assert [kind for kind, _message in shop.events()] == ["recipe", "recipe"]
    assert in_use(shop.recipe_cache, "A").recipe.version == 1


def test_the_name_in_the_job_is_the_noun(build: Build) -> None:
    shop = build()
    shop.onboarding.register(Job("A-17", name=" metal nut "))
    wait_until(lambda: shop.version("A-17"), "the recipe")
    assert shop.active("A-17").noun == "metal nut"
    assert "a photo of a damaged metal nut" in shop.active("A-17").prompts.anomalous


def test_two_agents_that_register_a_sku_write_one_recipe(build: Build) -> None:
    first, second = build(), build()
    first.onboarding.register(Job("A"))
    wait_until(lambda: first.version("A"), "the recipe")
    second.onboarding.register(Job("A"))
    second.close()
    assert first.rooms.count("recipe") == 1


def test_a_restart_does_not_write_the_recipe_again(build: Build) -> None:
    shop = build()
    shop.onboarding.register(Job("A"))
    wait_until(lambda: shop.version("A"), "the recipe")
    shop.close()
    later = build()
    later.onboarding.start()
    later.onboarding.register(Job("A"))
    later.close()
    assert later.rooms.count("recipe") == 1


def test_an_agent_killed_before_the_recipe_was_written_writes_it_later(build: Build, rooms: Rooms) -> None:
    assert rooms.book.register(Job("A", name="nut"))
    shop = build()
    shop.onboarding.start()
    wait_until(lambda: shop.version("A"), "the recipe")
    assert shop.active("A").noun == "nut"


class Refusing(SqlRecipeBook):
    """Refuses so many calls before it works again."""

    failures = 2

    def _maybe(self) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageError("the database is away")

    def register(self, job: Job) -> bool:
        self._maybe()
        return super().register(job)

    def add(self, recipe: Recipe, *, activate: bool = True, job: Job | None = None) -> Recipe:
        self._maybe()
        return super().add(recipe, activate=activate, job=job)

    def hold_reference(self, sku: str, reference: Reference) -> None:
        self._maybe()
        super().hold_reference(sku, reference)


def test_a_database_that_refused_is_asked_again(build: Build, rooms: Rooms) -> None:
    book = Refusing(rooms.database)
    shop = build(book=book)
    for _ in range(2):
        with pytest.raises(StorageError):
            shop.onboarding.register(Job("A"))
    book.failures = 0
    shop.onboarding.register(Job("A"))
    wait_until(lambda: shop.version("A"), "the recipe")


def test_a_first_recipe_that_failed_is_written_once_the_database_is_back(build: Build, rooms: Rooms) -> None:
    book = Refusing(rooms.database)
    book.failures = 0
    schedule = ManualSchedule()
    shop = build(book=book, schedule=schedule)
    shop.onboarding.start()
    rooms.book.register(Job("A", name="nut"))  # and then the database was away for too long
    schedule.run("first recipes")
    shop.onboarding.wait(20.0)
    assert not shop.version("A"), "the agent that registered it may be at work"
    schedule.run("first recipes")
    wait_until(lambda: shop.version("A"), "the recipe")
    assert shop.active("A").noun == "nut"


def test_a_recipe_that_cannot_be_written_at_once_is_written_later(build: Build, rooms: Rooms) -> None:
    book = Refusing(rooms.database)
    book.failures = 0
    shop = build(book=book)
    shop.onboarding.add_reference("A", shop.reference(part(1)))
    book.failures = 2
    wait_until(lambda: shop.version("A") and shop.active("A").shots == 1, "the recipe")


def test_references_that_come_in_a_burst_make_one_version(build: Build) -> None:
    shop = build()
    for seed in range(10):
        shop.onboarding.add_reference("A", shop.reference(part(seed), f"part {seed}"))
    wait_until(lambda: shop.version("A") and shop.active("A").shots == 10, "the references")
    wait_until(lambda: any("calibrated" in message for _kind, message in shop.events()), "the event")
    recipe = shop.active("A")
    assert [reference.name for reference in recipe.references] == [f"part {seed}" for seed in range(10)]
    assert recipe.calibration is not None
    assert recipe.calibration.samples == 10
    assert recipe.version <= 3, "the template and hardly more than one burst"
    judged = shop.inspector.inspect([spotted(50)], [in_use(shop.recipe_cache, "A")])[0]
    assert judged.verdict == "FAIL"
    assert not shop.rooms.book.held_references("A")


def test_later_references_are_added_to_those_before(build: Build) -> None:
    shop = build()
    for seed in range(4):
        shop.onboarding.add_reference("A", shop.reference(part(seed)))
    wait_until(lambda: shop.version("A") and shop.active("A").shots == 4, "four references")
    assert shop.active("A").calibration is None
    for seed in range(4, 8):
        shop.onboarding.add_reference("A", shop.reference(part(seed)))
    wait_until(lambda: shop.active("A").shots == 8, "eight references")
    calibration = shop.active("A").calibration
    assert calibration is not None
    assert calibration.samples == 8


def test_the_same_reference_twice_counts_once(build: Build) -> None:
    shop = build()
    for _ in range(3):
        shop.onboarding.add_reference("A", shop.reference(part(1)))
    wait_until(lambda: shop.version("A") and shop.active("A").shots == 1, "the reference")
    shop.onboarding.add_reference("A", shop.reference(part(1)))
    shop.onboarding.add_reference("A", shop.reference(part(2)))
    wait_until(lambda: shop.active("A").shots == 2, "the other reference")


def test_references_from_before_a_restart_are_enrolled(build: Build, rooms: Rooms) -> None:
    path = rooms.media.put(encoded(part(1)), ".png")
    rooms.book.register(Job("A"))
    rooms.book.hold_reference("A", Reference(path[6:70], path, "part"))
    shop = build()
    shop.onboarding.start()
    wait_until(lambda: shop.version("A") and shop.active("A").shots == 1, "the reference")


def test_closing_leaves_references_for_the_next_start(build: Build) -> None:
    shop = build(quiet_s=30.0)
    shop.onboarding.add_reference("A", shop.reference(part(1)))
    shop.close()
    assert [r.name for r in shop.rooms.book.held_references("A")] == ["part"]
    later = build(quiet_s=0.05)
    later.onboarding.start()
    wait_until(lambda: later.version("A") and later.active("A").shots == 1, "the reference")


class Failing(Fade):
    failure: Exception | None = None

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> FadePrepared:
        if self.failure is not None and references:
            raise self.failure
        return super().prepare(recipe, references)


def test_an_enrollment_that_fails_is_an_event_and_the_next_one_runs(build: Build) -> None:
    method = Failing(ColourEncoder(), defaults=PARAMETERS)
    method.failure = RuntimeError("out of memory")
    shop = build(method=method)
    shop.onboarding.add_reference("A", shop.reference(part(1)))
    wait_until(lambda: "enrollment-failed" in dict(shop.events()), "the event")
    assert dict(shop.events())["enrollment-failed"] == "enrollment of 'A' failed: out of memory"
    event = next(e for e in shop.rooms.rows("event") if e["kind"] == "enrollment-failed")
    assert (event["severity"], event["sku"]) == ("error", "A")
    method.failure = None
    shop.onboarding.add_reference("A", shop.reference(part(2)))
    wait_until(lambda: shop.active("A").shots == 2, "both references")


def test_a_reference_file_that_is_gone_is_named(build: Build) -> None:
    shop = build()
    reference = shop.reference(part(1), "part 17")
    (shop.rooms.folder / "media" / reference.path).unlink()
    shop.onboarding.add_reference("A", reference)
    wait_until(lambda: "enrollment-failed" in dict(shop.events()), "the event")
    assert "'part 17' cannot be read" in dict(shop.events())["enrollment-failed"]


def test_commissioning_that_storage_refused_is_repeated(build: Build, rooms: Rooms) -> None:
    book, schedule = Refusing(rooms.database), ManualSchedule()
    book.failures = 0
    shop = build(book=book, schedule=schedule, commission=2, storage_retries_s=())
    shop.onboarding.start()
    shop.onboarding.register(Job("A"))
    shop.onboarding.wait(20.0)
    rooms.history.record([inspected(seed, shop.reference(part(seed))) for seed in range(2)])
    book.failures = 1
    schedule.run("commissioning")
    shop.onboarding.wait(20.0)
    assert dict(shop.events())["commissioning-failed"] == "commissioning failed: the database is away"
    schedule.run("commissioning")
    wait_until(lambda: shop.active("A").shots == 2, "the references")


def test_a_person_commissions_a_product_before_its_first_part(build: Build, rooms: Rooms) -> None:
    """The configuration commissions nothing; the wish is fulfilled once, by the frames that come."""
    schedule = ManualSchedule()
    shop = build(schedule=schedule)
    shop.onboarding.start()
    assert not commission(rooms.book, rooms.samples, "A", 2).complete
    shop.onboarding.register(Job("A"))
    for seed in range(3):
        schedule.run("commissions of persons")
        shop.onboarding.wait(20.0)
        assert ("commissioned" in dict(shop.events())) == (seed == 2)
        rooms.history.record([inspected(seed, shop.reference(part(seed)))])
    wait_until(lambda: shop.active("A").shots == 2, "the references")
    assert rooms.book.commissions() == {}
    assert (
        "the first 2 frames of 'A' are taken as good, as a person asked"
        in dict(shop.events())["commissioned"]
    )


def inspected(number: int, reference: Reference) -> Entry:
    """A frame of product A that passed, with its image."""
    at = datetime(2026, 1, 1, 0, 0, number, tzinfo=UTC)
    identity = FrameIdentity(Camera("plant", "line-1", "top"), f"f-{number}", sku="A")
    media = MediaPaths(image=reference.path)
    return Entry(
        Inspection(f"i-{number}", identity, "A", Verdict.PASS, "below", at, at, score=0.1, media=media)
    )


class Refused(SqlHistory):
    """Stores no event as long as ``away``."""

    away = True

    def record_event(self, event: Event, messages: Sequence[OutboxMessage] = ()) -> None:
        if self.away:
            raise StorageError("away")
        super().record_event(event, messages)


def test_an_event_that_cannot_be_stored_stops_nothing_and_is_stored_later(
    build: Build, rooms: Rooms, caplog: pytest.LogCaptureFixture
) -> None:
    method = Failing(ColourEncoder(), defaults=PARAMETERS)
    method.failure = RuntimeError("out of memory")
    history = Refused(rooms.database, agent_id="cell-7", agent_version="1")
    shop = build(method=method, history=history)
    shop.onboarding.add_reference("A", shop.reference(part(1)))
    wait_until(lambda: "enrollment of 'A' failed: out of memory" in caplog.text, "the log")
    with pytest.raises(StorageError):
        shop.events()
    method.failure = None
    shop.onboarding.add_reference("B", shop.reference(part(2)))
    wait_until(lambda: shop.version("B") and shop.active("B").shots == 1, "the other SKU")
    history.away = False
    assert "enrollment-failed" in dict(shop.events())


@pytest.mark.parametrize("name", [None, "", "   "])
def test_a_product_without_a_name_is_an_object(name: str | None) -> None:
    assert noun_of(Job("A-17", name=name)) == "object"
