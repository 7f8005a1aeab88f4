"""RecipeTransfer: a recipe version to text, and edited text to a new version."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.domain.errors import RecipeError, SightlineError, StorageError
from agent.domain.names import spelling
from agent.domain.recipe import Recipe, Reference
from agent.inference.tiled import method_parameters, tiling_of
from agent.methods import find_method
from agent.ports import ImageCodec, MediaStore, RecipeBook
from agent.ports.recipes import RecipeCodec, RecipeFile, ReferenceEntry, ReferenceImages
from agent.recipes.diff import reconcile, same_content

_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png"}
_NAMED = 5
"""An error names at most so many missing images."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import."""

    recipe: Recipe
    """As it is stored."""
    new: bool
    """False if a stored version has the same content: nothing was written."""
    active: bool
    remarks: tuple[str, ...] = ()


class RecipeTransfer:
    """Exports and imports the recipes of one book."""

    def __init__(self, book: RecipeBook, media: MediaStore, codec: RecipeCodec, images: ImageCodec) -> None:
        self._book = book
        self._media = media
        self._codec = codec
        self._images = images

    def find(self, sku: str, version: int | None = None) -> Recipe:
        """A stored version, by default the active one. Raises RecipeError if there is none."""
        recipe = self._book.active(sku) if version is None else self._book.get(sku, version)
        if recipe is None:
            which = "active recipe" if version is None else f"recipe version {version}"
            raise RecipeError(f"there is no {which} of {sku!r}; `sightline recipe list` names what there is")
        return recipe

    def export_text(self, recipe: Recipe) -> str:
        return self._codec.write(recipe)

    def export_images(self, recipe: Recipe) -> Sequence[tuple[str, bytes]]:
        """File name and bytes of each reference. Raises RecipeError if one cannot be read."""
        found = []
        for reference in recipe.references:
            content = self._stored(reference)
            if content is None:
                raise RecipeError(f"reference {reference.name!r} is missing in the media folder; restore it")
            found.append((_file_name(reference.sha256, content), content))
        return found

    def import_text(
        self,
        text: str,
        source: str,
        *,
        images: ReferenceImages | None = None,
        sku: str | None = None,
        activate: bool = True,
    ) -> Imported:
        """Store the recipe in ``text`` as the next version of its SKU.

        :func:`agent.recipes.diff.reconcile` decides what holds of an edited recipe. The same text again
        writes nothing, since a message may be delivered twice.

        Args:
            source: what the text is called in errors.
            images: the images of its references, if they came along.
            sku: the product that it is for; by default the one that the file names.

        Raises:
            RecipeError: the text, its method or its references are unusable. Nothing is stored then.
            StorageError: the database or the media folder refused.
        """
        file = self._codec.read(text, source)
        try:
            named = replace(file.recipe, sku=spelling(file.recipe.sku, self._book.skus()))
            file = replace(file, recipe=named)
            sku = None if sku is None else spelling(sku, self._book.skus())
        except ValueError as error:
            raise RecipeError(f"{source}: the SKU {error}") from None
        parameters = file.recipe.parameters
        tiling_of(parameters)
        find_method(file.recipe.method).parameters(method_parameters(parameters))  # refuses unknown ones
        references = self._references(file, images, source)
        draft = replace(file.recipe, references=references, sku=sku or file.recipe.sku)
        edited = reconcile(draft, file.exported)
        recipe = replace(edited.recipe, origin="import", parent=self._parent(edited.recipe, file))
        known = self._known(recipe)
        if known is not None:
            if activate:
                self._book.activate(known.sku, known.version)
            active = self._book.active_version(known.sku) == known.version
            return Imported(known, new=False, active=active, remarks=edited.remarks)
        stored = self._book.add(recipe, activate=activate)
        return Imported(stored, new=True, active=activate, remarks=edited.remarks)

    def _parent(self, recipe: Recipe, file: RecipeFile) -> int | None:
        if file.version is None or recipe.sku != file.recipe.sku:
            return None
        return file.version if self._book.get(recipe.sku, file.version) is not None else None

    def _known(self, recipe: Recipe) -> Recipe | None:
        """The newest version, or the one that the file was exported from, if its content is the same."""
        newest = max((line.version for line in self._book.listing(recipe.sku)), default=None)
        for version in dict.fromkeys((newest, recipe.parent)):
            known = None if version is None else self._book.get(recipe.sku, version)
            if known is not None and same_content(known, recipe):
                return known
        return None

    def _references(
        self, file: RecipeFile, images: ReferenceImages | None, source: str
    ) -> tuple[Reference, ...]:
        found = [(entry, self._reference(entry, images)) for entry in file.references]
        missing = [entry.name for entry, reference in found if reference is None]
        if missing:
            shown = ", ".join(repr(name) for name in missing[:_NAMED])
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            raise RecipeError(
                f"{source}: the images of {len(missing)} references are missing: {shown}{more}; "
                "export with --with-references, or enroll the images here first"
            )
        return tuple(reference for _, reference in found if reference is not None)

    def _reference(self, entry: ReferenceEntry, images: ReferenceImages | None) -> Reference | None:
        known = None if entry.sha256 is None else self._book.reference(entry.sha256)
        if known is not None and self._stored(known) is not None:
            return replace(known, name=entry.name)
        content = None if images is None else images.find(entry)
        if content is None:
            return None
        digest = hashlib.sha256(content).hexdigest()
        if entry.sha256 not in (None, digest):
            raise RecipeError(
                f"the image of reference {entry.name!r} is not the one that the recipe names (its sha256 "
                "differs); remove its sha256 in the file to take this image"
            )
        try:
            self._images.decode(content)
        except SightlineError as error:
            raise RecipeError(f"reference {entry.name!r} cannot be read: {error}") from error
        suffix = _file_name("", content)
        return Reference(digest, self._media.put(content, suffix), entry.name)

    def _stored(self, reference: Reference) -> bytes | None:
        try:
            return self._media.get(reference.path)
        except StorageError:
            return None  # lost or damaged: the caller takes it from elsewhere, or reports it as missing


def _file_name(sha256: str, content: bytes) -> str:
    """``<sha256>.jpg`` or ``.png``, by the first bytes. Raises RecipeError for other formats."""
    for magic, suffix in _SUFFIXES.items():
        if content.startswith(magic):
            return sha256 + suffix
    raise RecipeError("a reference is a JPEG or PNG image")
