"""RecipeCache: recipes in use, prepared for the models and kept ready for the next frame."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

from agent.domain.errors import RecipeError, SightlineError
from agent.domain.frame import Image
from agent.domain.recipe import Recipe, Reference, template_recipe
from agent.inference.inspector import Inspector
from agent.inference.reference_images import ReferenceImages
from agent.methods.prepared import Prepared
from agent.ports import ImageCodec, MediaStore, RecipeBook
from agent.telemetry import about

logger = logging.getLogger(__name__)

REFUSED_S = 30.0
"""Pause before a version that could not be prepared is tried again."""


class RescoringRequests(Protocol):
    """Takes products whose threshold has to be set again, because another scorer set it."""

    def request(self, sku: str) -> None:
        """Must neither wait nor raise."""
        ...


class RecipeCache:
    """Prepared recipes by SKU. The least recently used is dropped first.

    A newer version is prepared beside the pipeline and takes over between two batches. Until it is ready, and
    if it cannot be prepared, frames are inspected with the version at hand.
    """

    rescoring: RescoringRequests | None = None
    """Asked for a new threshold whenever a recipe is loaded whose threshold does not apply."""

    def __init__(
        self,
        book: RecipeBook,
        inspector: Inspector,
        media: MediaStore,
        codec: ImageCodec,
        *,
        method: str,
        capacity: int = 64,
    ) -> None:
        self._book = book
        self._inspector = inspector
        self._media = media
        self._codec = codec
        self._method = method
        self._capacity = capacity
        self._ready: OrderedDict[str, Prepared] = OrderedDict()
        self._loading: dict[str, Future[None]] = {}
        self._refused: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()
        self._loader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recipes")
        self._template = inspector.prepare(template_recipe("generic", method), ())

    def close(self) -> None:
        """Stop preparing, after what is under way."""
        self._loader.shutdown(wait=True, cancel_futures=True)

    def current(self, sku: str) -> Prepared:
        """The recipe to inspect the next frame of ``sku`` with.

        Raises:
            SightlineError: its only version cannot be prepared, or the database does not answer.
        """
        version = self._book.active_version(sku)
        if version is None:
            return self._template_for(sku)
        with self._lock:
            held = self._ready.get(sku)
            if held is not None:
                self._ready.move_to_end(sku)
        if held is None:
            return self._load(sku)
        if held.recipe.version != version:
            self._load_beside(sku, version)
        return held

    def put(self, prepared: Prepared) -> None:
        """Add a recipe that was just enrolled, so that it is not prepared again."""
        with self._lock:
            # The last one stays, even if its version is older: a person may have gone back to it. If two
            # come at once, `current` sees a version that is not the active one and loads again.
            sku = prepared.recipe.sku
            self._ready[sku] = prepared
            self._ready.move_to_end(sku)
            while len(self._ready) > self._capacity:
                self._ready.popitem(last=False)

    def has_other_scorer(self, recipe: Recipe) -> bool:
        """Whether other weights, another method or other parameters set its threshold.

        Raises RecipeError, ModelError.
        """
        calibration, fingerprint = recipe.calibration, self._inspector.fingerprint(recipe)
        return calibration is not None and calibration.scorer not in (None, fingerprint)

    def images(self, references: tuple[Reference, ...]) -> ReferenceImages:
        """The images of references, each read from the media folder when it is asked for.

        Asking raises RecipeError if one cannot be read. This concerns the one recipe: waiting for the file,
        as for a database, would hold up the frames of all others.
        """
        return ReferenceImages(_StoredImages(references, self._media, self._codec), len(references))

    def _template_for(self, sku: str) -> Prepared:
        return self._template.with_recipe(replace(self._template.recipe, sku=sku, calibration=None))

    def _load(self, sku: str) -> Prepared:
        recipe = self._book.active(sku)
        if recipe is None:
            return self._template_for(sku)
        recipe = self._with_own_threshold(recipe)
        prepared = self._inspector.prepare(recipe, self.images(recipe.references))
        self.put(prepared)
        return prepared

    def _with_own_threshold(self, recipe: Recipe) -> Recipe:
        """Without its calibration if another scorer set it."""
        if not self.has_other_scorer(recipe):
            return recipe
        logger.warning(
            "the threshold of %r version %d was set with other weights or parameters; its verdicts are "
            "REVIEW until another one is set from its references",
            recipe.sku,
            recipe.version,
            extra=about(None, sku=recipe.sku),
        )
        if self.rescoring is not None:
            self.rescoring.request(recipe.sku)
        return replace(recipe, calibration=None)

    def _load_beside(self, sku: str, version: int) -> None:
        with self._lock:
            running = self._loading.get(sku)
            refused, until = self._refused.get(sku, (None, 0.0))
            if running is not None and not running.done():
                return
            if refused == version and time.monotonic() < until:
                return
            self._loading[sku] = self._loader.submit(self._load_or_refuse, sku, version)

    def _load_or_refuse(self, sku: str, version: int) -> None:
        try:
            self._load(sku)
        except (SightlineError, RuntimeError, ValueError) as error:  # torch raises RuntimeError
            # The version at hand goes on. This one is tried again after a pause, not for every frame.
            with self._lock:
                self._refused[sku] = (version, time.monotonic() + REFUSED_S)
            logger.error(
                "recipe version %d of %r cannot be used: %s", version, sku, error, extra=about(None, sku=sku)
            )


class _StoredImages:
    """Images of references in the media folder."""

    def __init__(self, references: Sequence[Reference], media: MediaStore, codec: ImageCodec) -> None:
        self._references = references
        self._media = media
        self._codec = codec

    def read(self, index: int) -> Image:
        """Raises RecipeError."""
        reference = self._references[index]
        try:
            return self._codec.decode(self._media.get(reference.path))
        except SightlineError as error:
            raise RecipeError(
                f"reference {reference.name!r} cannot be read: {error}; restore it or enroll again"
            ) from error
