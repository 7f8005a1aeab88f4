"""RecipeBook: the stored recipes; RecipeCodec and ReferenceImages: recipes as files that people edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.domain.frame import Job
from agent.domain.recipe import Digests, Recipe, RecipeListing, Reference


class RecipeBook(Protocol):
    """Recipes of all SKUs, versioned; one version of each SKU is active."""

    def active(self, sku: str) -> Recipe | None: ...

    def active_version(self, sku: str) -> int | None:
        """Cheap enough to ask before each batch."""
        ...

    def active_versions(self) -> Mapping[str, int]:
        """The active version of every SKU that has one; cheap enough to ask every second."""
        ...

    def register(self, job: Job) -> bool:
        """Store a SKU. True for the one caller, of all agents, that made the row."""
        ...

    def skus(self) -> Sequence[str]:
        """All registered SKUs, in the spelling in which they are stored."""
        ...

    def without_recipe(self) -> Sequence[Job]:
        """SKUs that were registered and have no recipe: the agent that registered them was stopped."""
        ...

    def job(self, sku: str) -> Job | None:
        """Name and description of a SKU, as last registered."""
        ...

    def get(self, sku: str, version: int) -> Recipe | None:
        """One version, active or not."""
        ...

    def listing(self, sku: str | None = None) -> Sequence[RecipeListing]:
        """All versions of one SKU or of all, by SKU and version, including those that were never used."""
        ...

    def model_digests(self) -> Mapping[str, str]:
        """The digest of each language model that became another one, as last reported, by its name."""
        ...

    def add(self, recipe: Recipe, *, activate: bool = True, job: Job | None = None) -> Recipe:
        """Store as the next version of its SKU and return it with id and version.

        ``job``: registers the SKU at the same moment, so that nobody sees it without a recipe.
        """
        ...

    def add_first(self, recipe: Recipe) -> Recipe | None:
        """Store and activate as version 1; None, and nothing changes, if the SKU has a version by now."""
        ...

    def activate(self, sku: str, version: int) -> None:
        """Make a version the active one, for frames from the next batch on.

        Raises RecipeError if there is no such version.
        """
        ...

    def hold_reference(self, sku: str, reference: Reference) -> None:
        """Store a reference that came in and is in no recipe yet. A repeated call changes nothing."""
        ...

    def held_references(self, sku: str) -> Sequence[Reference]:
        """References of ``sku`` that no version of its recipe holds yet, in the order in which they came."""
        ...

    def reference(self, sha256: str) -> Reference | None:
        """A reference with these bytes, of any SKU, whether in a recipe or not yet."""
        ...

    def release_references(self, sku: str, references: Sequence[Reference]) -> None:
        """Forget held references that are in a recipe now, or were left out of it."""
        ...

    def keep_commission(self, sku: str, frames: int) -> None:
        """Store the wish that the first ``frames`` of a SKU become references; replaces an earlier one.

        The SKU may be unknown, and is not registered by it.
        """
        ...

    def commissions(self) -> Mapping[str, int]:
        """SKUs whose first frames are still to come, each with how many are wanted, oldest first."""
        ...

    def drop_commission(self, sku: str) -> bool:
        """Forget the wish. False if there was none."""
        ...

    def skus_with_held_references(self) -> Sequence[str]:
        """SKUs whose references came in and are in no recipe yet (after a restart)."""
        ...


@dataclass(frozen=True, slots=True)
class ReferenceEntry:
    """A reference as a file names it; its image travels beside the file."""

    name: str
    sha256: str | None = None
    """None if a person added the image by its name alone."""


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """The content of a file."""

    recipe: Recipe
    """Without its references: their images still have to be found."""
    references: tuple[ReferenceEntry, ...] = ()
    exported: Digests | None = None
    """The digests of the version that was exported; None if a person wrote the file."""
    version: int | None = None
    """The version that was exported."""


class RecipeCodec(Protocol):
    """Recipes to text and back."""

    def write(self, recipe: Recipe) -> str: ...

    def read(self, text: str, source: str) -> RecipeFile:
        """Raises RecipeError, which names every fault with its line. ``source``: what the text is called."""
        ...


class ReferenceImages(Protocol):
    """Images that travel with a recipe file."""

    def find(self, entry: ReferenceEntry) -> bytes | None:
        """The bytes of a reference; None if it did not travel along. Raises RecipeError."""
        ...
