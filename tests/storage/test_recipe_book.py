"""SqlRecipeBook: versions, activation and registered jobs."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from agent.domain.errors import RecipeError, StorageError
from agent.domain.frame import Job
from agent.domain.prompts import NamedDefect, PromptSet, PromptSource
from agent.domain.recipe import ORIGINS, Recipe, Reference
from storage import Database, SqlRecipeBook, schema, upgrade
from tests.storage.examples import bolt_recipe
from tests.support.recipes import FINITE, recipes, words


def test_a_recipe_comes_back_as_it_was_added(book: SqlRecipeBook) -> None:
    recipe = bolt_recipe()
    stored = book.add(recipe)
    assert stored.version == 1
    assert stored == replace(recipe, id=stored.id, version=1)
    assert book.active("bolt") == stored
    assert book.get("bolt", 1) == stored
    assert (stored.origin, stored.note, stored.parent, stored.margin) == ("template", None, None, None)
    assert isinstance(book.active("bolt").parameters["exact"], float)  # type: ignore[union-attr]


def test_what_was_never_added_is_none(book: SqlRecipeBook) -> None:
    book.register(Job("nut"))
    for sku in ("nut", "bolt"):
        assert book.active(sku) is None
        assert book.active_version(sku) is None
    assert book.get("bolt", 1) is None


def test_versions_count_up_for_each_sku_and_one_is_active(book: SqlRecipeBook) -> None:
    first = book.add(bolt_recipe())
    second = book.add(bolt_recipe(calibration=None))
    assert book.add(bolt_recipe(sku="nut")).version == 1
    draft = book.add(bolt_recipe(method="winclip"), activate=False)
    assert [r.version for r in (first, second, draft)] == [1, 2, 3]
    assert book.active("bolt") == second
    assert book.active_version("bolt") == 2
    assert book.active_versions()["bolt"] == 2

    book.activate("bolt", 1)
    assert book.active("bolt") == first
    listed = [(row.sku, row.version, row.active, row.shots, row.threshold) for row in book.listing()]
    assert listed == [
        ("bolt", 1, True, 2, 0.5),
        ("bolt", 2, False, 2, None),
        ("bolt", 3, False, 2, 0.5),
        ("nut", 1, True, 2, 0.5),
    ]
    assert [row.method for row in book.listing("bolt")] == ["sightline", "sightline", "winclip"]


def test_a_version_that_does_not_exist_cannot_be_activated(book: SqlRecipeBook) -> None:
    book.add(bolt_recipe())
    with pytest.raises(RecipeError, match="no recipe version 2"):
        book.activate("bolt", 2)


def test_the_active_version_always_exists(book: SqlRecipeBook, database: Database) -> None:
    book.add(bolt_recipe())
    with pytest.raises(StorageError), database.write() as connection:
        connection.execute(text("UPDATE sku SET active_version = 7"))
    assert book.active_version("bolt") == 1


def test_a_job_is_registered_once_and_remembered(book: SqlRecipeBook) -> None:
    assert book.job("bolt") is None
    assert book.register(Job("bolt", name="Hex bolt", description="M8, zinc plated"))
    assert not book.register(Job("bolt"))
    assert book.job("bolt") == Job("bolt", "Hex bolt", "M8, zinc plated")
    assert not book.register(Job("bolt", name="Bolt M8", gtin="04012345678901", lot="L1"))
    assert book.job("bolt") == Job("bolt", "Bolt M8", "M8, zinc plated", "04012345678901", "L1")


def test_a_sku_that_has_a_recipe_is_not_new(book: SqlRecipeBook) -> None:
    book.add(bolt_recipe())
    assert not book.register(Job("bolt", name="Hex bolt"))


def test_of_many_agents_one_makes_the_sku(database_url: str) -> None:
    start = threading.Barrier(8)

    def register(_: int) -> bool:
        with Database(database_url) as database:
            book = SqlRecipeBook(database)
            start.wait()
            return book.register(Job("bolt", name="Hex bolt"))

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(register, range(8))) == [False] * 7 + [True]


def test_concurrent_agents_add_distinct_versions(database_url: str) -> None:
    start = threading.Barrier(6)

    def add(number: int) -> int:
        with Database(database_url) as database:
            book = SqlRecipeBook(database)
            start.wait()
            return book.add(bolt_recipe(noun=f"bolt {number}")).version

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(add, range(6))) == [1, 2, 3, 4, 5, 6]


def test_equal_prompt_sets_share_a_row(book: SqlRecipeBook, database: Database) -> None:
    prompts = PromptSet(
        ("good",), ("bad",), source=PromptSource.OLLAMA, provenance={"model": "m", "seed": "1"}
    )
    turned = replace(prompts, provenance={"seed": "1", "model": "m"})
    elsewhere = replace(prompts, provenance={"model": "m", "seed": "2"})
    by_hand = replace(prompts, source=PromptSource.MANUAL)
    for one in (prompts, turned, elsewhere, by_hand):
        assert book.add(bolt_recipe(prompts=one)).prompts == one
    with database.read() as connection:
        query = select(func.count(), func.count(schema.prompt_set.c.digest.distinct()))
        assert connection.execute(query.select_from(schema.prompt_set)).one() == (3, 1)


def test_words_that_differ_in_severity_only_are_kept_apart(book: SqlRecipeBook, database: Database) -> None:
    for severity in ("", "minor", "critical"):
        prompts = PromptSet(("good",), ("bad",), (NamedDefect("dent", ("a dent",), severity),))
        stored = book.add(bolt_recipe(prompts=prompts))
        assert book.get("bolt", stored.version) == stored
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(schema.prompt_set)).scalar_one() == 3


def test_a_version_holds_why_it_was_written(book: SqlRecipeBook, database: Database) -> None:
    first = book.add(bolt_recipe(note="Ollama did not answer within 60 s"))
    tried_words = {"margin": 0.125, "winner": "template", "auroc": {"template": 0.9, "ollama": 0.775}}
    second = book.add(
        bolt_recipe(origin="prompt-selection", parent=first.version, prompt_selection=tried_words),
        activate=False,
    )
    assert book.get("bolt", 2) == second
    kept, tried = book.listing("bolt")
    assert (kept.origin, kept.note, kept.parent, kept.margin) == (
        "template", "Ollama did not answer within 60 s", None, None,
    )  # fmt: skip
    assert (tried.active, tried.origin, tried.parent, tried.margin) == (False, "prompt-selection", 1, 0.125)
    with database.read() as connection:  # none is SQL's NULL, not JSON's null
        found = connection.execute(
            text("SELECT prompt_selection IS NULL, margin FROM recipe ORDER BY version")
        ).all()
    assert [tuple(row) for row in found] == [(True, None), (False, 0.125)]


def test_references_wait_until_a_version_takes_them_up(book: SqlRecipeBook) -> None:
    first, second, third = (Reference(letter * 64, f"{letter}.png", f"frame-{letter}") for letter in "cab")
    for reference in (first, second, replace(first, name="sent again"), third):
        book.hold_reference("bolt", reference)
    book.hold_reference("nut", first)
    assert list(book.held_references("bolt")) == [first, second, third]
    assert list(book.held_references("washer")) == []
    assert list(book.skus_with_held_references()) == ["bolt", "nut"]

    assert book.add(bolt_recipe(references=(second, first))).references == (second, first)
    assert book.active("bolt").references == (second, first)  # type: ignore[union-attr]
    book.hold_reference("bolt", first)
    assert list(book.held_references("bolt")) == [third]
    book.add(bolt_recipe(references=(first, second, third)), activate=False)
    book.hold_reference("bolt", third)
    assert list(book.held_references("bolt")) == []
    assert list(book.skus_with_held_references()) == ["nut"]
    assert list(book.held_references("nut")) == [first]


def test_a_held_reference_does_not_register_its_sku(book: SqlRecipeBook) -> None:
    book.hold_reference("bolt", Reference("ab" * 32, "a.png", "a"))
    assert book.job("bolt") is None
    assert book.register(Job("bolt"))


def test_a_recipe_that_was_damaged_says_so(book: SqlRecipeBook, database: Database) -> None:
    book.add(bolt_recipe())
    with database.write() as connection:
        connection.execute(schema.prompt_set.update().values(normal=[]))
    with pytest.raises(RecipeError, match=r"version 1 of the recipe of 'bolt' is damaged"):
        book.active("bolt")


WORDS = words(exclude_characters="\x00")
ANY_RECIPE = recipes(
    WORDS,
    origin=st.sampled_from(ORIGINS),
    parent=st.none() | st.integers(1, 1000),
    prompt_selection=st.none()
    | st.dictionaries(WORDS | st.just("margin"), FINITE | WORDS | st.lists(WORDS), max_size=3),
)


@pytest.fixture(scope="module")
def sqlite_book() -> Iterator[SqlRecipeBook]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'history.db'}"
        upgrade(url)
        with Database(url) as database:
            yield SqlRecipeBook(database)


@pytest.fixture(scope="module")
def postgresql_book(request: pytest.FixtureRequest) -> Iterator[SqlRecipeBook]:
    with Database(request.getfixturevalue("migrated_database")) as database:
        yield SqlRecipeBook(database)


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(recipe=ANY_RECIPE)
def test_any_recipe_survives_the_round_trip(
    request: pytest.FixtureRequest, backend: str, recipe: Recipe
) -> None:
    book: SqlRecipeBook = request.getfixturevalue(f"{backend}_book")
    stored = book.add(recipe)
    loaded = book.active(recipe.sku)
    assert loaded == stored
    assert loaded is not None
    assert {k: type(v) for k, v in loaded.parameters.items()} == {
        k: type(v) for k, v in recipe.parameters.items()
    }


def test_a_sku_without_recipe_is_found_again(book: SqlRecipeBook) -> None:
    book.register(Job("left-half-done", name="gear"))
    book.add(bolt_recipe())
    assert book.without_recipe() == [Job("left-half-done", name="gear")]


def test_a_reference_is_found_by_its_bytes_wherever_it_is(book: SqlRecipeBook) -> None:
    held, taken = (Reference(letter * 64, f"{letter}.png", letter) for letter in "ab")
    book.hold_reference("nut", held)
    book.add(bolt_recipe(references=(taken,)))
    assert (book.reference("a" * 64), book.reference("b" * 64), book.reference("c" * 64)) == (
        held,
        taken,
        None,
    )


def test_a_first_version_is_written_only_if_there_is_none(book: SqlRecipeBook) -> None:
    """An agent's template must not follow, let alone replace, what a person enrolled in the meantime."""
    first = book.add_first(bolt_recipe(references=(), calibration=None))
    assert first is not None
    assert (first.version, book.active_version("bolt")) == (1, 1)
    second = book.add(bolt_recipe(), job=Job("bolt", name="hex bolt"))
    assert book.add_first(bolt_recipe()) is None
    assert (second.version, book.active_version("bolt")) == (2, 2)
    assert book.job("bolt") == Job("bolt", name="hex bolt")
