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

from agent.calibration.threshold import CalibrationPolicy
from agent.domain.camera_rules import CameraRulebook
from agent.domain.errors import RecipeError, SightlineError
from agent.domain.frame import Camera, Image
from agent.domain.recipe import Recipe, Reference, template_recipe
from agent.domain.regions import EVERYWHERE, Regions
from agent.enrollment.enroll import calibrated_anew
from agent.inference.inspector import Inspector
from agent.inference.reference_images import ReferenceImages
from agent.methods.prepared import Prepared
from agent.ports import ImageCodec, MediaStore, RecipeBook
from agent.recipes.diff import BY_HAND
from agent.telemetry import about

logger = logging.getLogger(__name__)

REFUSED_S = 30.0
"""Pause before a version that could not be prepared is tried again."""


class RescoringRequests(Protocol):
    """Takes products whose threshold has to be set again, because another scorer set it."""

    def request(self, recipe: Recipe) -> None:
        """Must neither wait nor raise."""
        ...


Key = tuple[str, Regions]
"""A SKU, and the regions of a camera."""


class RecipeCache:
    """Prepared recipes by SKU. The least recently used is dropped first.

    A newer version is prepared beside the pipeline and takes over between two batches. Until it is ready, and
    if it cannot be prepared, frames are inspected with the version at hand.

    A camera with regions of its own has prepared recipes of its own, which see only what both inspect. Their
    threshold comes from the same references, seen like this, once it is set beside the pipeline. One that a
    person chose or that judged frames gave stays.
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
        rules: CameraRulebook | None = None,
        policy: CalibrationPolicy | None = None,
    ) -> None:
        """``rules`` hold the regions of cameras. ``policy``: of their thresholds; None: the recipe's stay."""
        self._book = book
        self._inspector = inspector
        self._media = media
        self._codec = codec
        self._method = method
        self._capacity = capacity
        self._rules = rules or CameraRulebook()
        self._policy = policy
        self._ready: OrderedDict[Key, Prepared] = OrderedDict()
        self._loading: dict[Key, Future[None]] = {}
        self._refused: dict[Key, tuple[int, float]] = {}
        self._lock = threading.Lock()
        self._loader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recipes")
        self._templates = {EVERYWHERE: inspector.prepare(template_recipe("generic", method), ())}

    def close(self) -> None:
        """Stop preparing, after what is under way."""
        self._loader.shutdown(wait=True, cancel_futures=True)

    def regions_of(self, camera: Camera) -> Regions:
        """What is inspected of a camera's frames, whatever they show."""
        return self._rules.of(camera).regions

    def current(self, sku: str, regions: Regions = EVERYWHERE) -> Prepared:
        """The recipe to inspect the next frame of ``sku`` with, from a camera with these regions.

        Raises:
            SightlineError: its only version cannot be prepared, or the database does not answer.
        """
        version, key = self._book.active_version(sku), (sku, regions)
        if version is None:
            return self._template_for(key)
        with self._lock:
            held = self._ready.get(key)
            if held is not None:
                self._ready.move_to_end(key)
        if held is None:
            return self._load(key)
        if held.recipe.version != version:
            self._load_beside(key, version)
        return held

    def put(self, prepared: Prepared) -> None:
        """Add a recipe that was just enrolled, so that it is not prepared again."""
        self._put((prepared.recipe.sku, EVERYWHERE), prepared)

    def _put(self, key: Key, prepared: Prepared) -> None:
        with self._lock:
            # The last one stays, even if its version is older: a person may have gone back to it. If two
            # come at once, `current` sees a version that is not the active one and loads again.
            self._ready[key] = prepared
            self._ready.move_to_end(key)
            while len(self._ready) > self._capacity:
                self._ready.popitem(last=False)

    def has_other_scorer(self, recipe: Recipe) -> bool:
        """Whether other weights, another method, other parameters or regions set its threshold.

        Raises RecipeError, ModelError.
        """
        calibration, fingerprint = recipe.calibration, self._inspector.fingerprint(recipe)
        return calibration is not None and calibration.scorer not in (None, fingerprint)

    def images(self, references: tuple[Reference, ...]) -> ReferenceImages:
        """The images of references, each read from the media folder when it is asked for.

        Asking raises RecipeError if one cannot be read. This concerns the one recipe: waiting for the file,
        as for a database, would hold up the frames of all others.
        """
        return stored_images(references, self._media, self._codec)

    def _template_for(self, key: Key) -> Prepared:
        sku, regions = key
        template = self._templates.get(regions)
        if template is None:  # as many as cameras with regions are configured, at most
            recipe = replace(template_recipe("generic", self._method), regions=regions)
            template = self._templates[regions] = self._inspector.prepare(recipe, ())
        return template.with_recipe(replace(template.recipe, sku=sku, calibration=None))

    def _load(self, key: Key) -> Prepared:
        sku, regions = key
        recipe = self._book.active(sku)
        if recipe is None:
            return self._template_for(key)
        recipe = self._with_own_threshold(recipe)
        images = self.images(recipe.references)
        seen = replace(recipe, regions=recipe.regions.combined_with(regions))
        prepared = self._inspector.prepare(seen, images)
        self._put(key, prepared)
        if seen.regions != recipe.regions and self._policy is not None and _from_references(recipe):
            self._loader.submit(self._calibrate_beside, key, prepared, images, self._policy)
        return prepared

    def _calibrate_beside(
        self, key: Key, prepared: Prepared, images: Sequence[Image], policy: CalibrationPolicy
    ) -> None:
        """Let a camera's recipe take over with the threshold of what that camera inspects."""
        sku, _ = key
        try:
            calibrated = calibrated_anew(self._inspector, prepared.recipe, images, policy)
        except (SightlineError, RuntimeError, ValueError) as error:  # torch raises RuntimeError
            logger.error(
                "the threshold of %r for the regions of a camera cannot be set, that of the whole image "
                "stays: %s", sku, error, extra=about(None, sku=sku),
            )  # fmt: skip
            return
        with self._lock:
            if self._ready.get(key) is prepared:  # otherwise a newer version has come meanwhile
                self._ready[key] = calibrated

    def _with_own_threshold(self, recipe: Recipe) -> Recipe:
        """Without its calibration if another scorer set it."""
        if not self.has_other_scorer(recipe):
            return recipe
        logger.warning(
            "the threshold of %r version %d was set with other weights, parameters or regions; its verdicts "
            "are REVIEW until another one is set from its references",
            recipe.sku,
            recipe.version,
            extra=about(None, sku=recipe.sku),
        )
        if self.rescoring is not None:
            self.rescoring.request(recipe)
        return replace(recipe, calibration=None)

    def _load_beside(self, key: Key, version: int) -> None:
        with self._lock:
            running = self._loading.get(key)
            refused, until = self._refused.get(key, (None, 0.0))
            if running is not None and not running.done():
                return
            if refused == version and time.monotonic() < until:
                return
            self._loading[key] = self._loader.submit(self._load_or_refuse, key, version)

    def _load_or_refuse(self, key: Key, version: int) -> None:
        sku, _ = key
        try:
            self._load(key)
        except (SightlineError, RuntimeError, ValueError) as error:  # torch raises RuntimeError
            # The version at hand goes on. This one is tried again after a pause, not for every frame.
            with self._lock:
                self._refused[key] = (version, time.monotonic() + REFUSED_S)
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


def stored_images(references: tuple[Reference, ...], media: MediaStore, codec: ImageCodec) -> ReferenceImages:
    """The images of references, each read from the media folder when it is asked for."""
    return ReferenceImages(_StoredImages(references, media, codec), len(references))


def _from_references(recipe: Recipe) -> bool:
    """Whether its references alone set its threshold, neither a person nor judged frames."""
    calibration = recipe.calibration
    chosen = recipe.origin in ("person", "recalibration")
    return calibration is not None and not chosen and not calibration.source.endswith(BY_HAND)
