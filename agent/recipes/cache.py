"""RecipeCache: recipes in use, prepared for the models and kept ready for the next frame."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

from agent.calibration.threshold import CalibrationPolicy
from agent.domain.camera_rules import CameraRulebook
from agent.domain.errors import ModelError, RecipeError, SightlineError, StorageError
from agent.domain.frame import Camera, Image
from agent.domain.recipe import Recipe, Reference, template_recipe
from agent.domain.regions import EVERYWHERE, Regions
from agent.enrollment.enroll import calibrated_anew
from agent.inference.inspector import Inspector
from agent.inference.kept_memory import KeptMemories
from agent.inference.reference_images import ReferenceImages
from agent.methods.prepared import Prepared
from agent.ports import ImageCodec, KeptTensors, MediaStore, RecipeBook
from agent.recipes.diff import BY_HAND
from agent.telemetry import about

logger = logging.getLogger(__name__)

REFUSED_S = 30.0
"""Pause before a version that could not be prepared is tried again, if there is another to go on with."""
FAILED_S = 5.0
"""The same if there is none: frames end as ERROR until then."""


class RescoringRequests(Protocol):
    """Takes products whose threshold has to be set again, because another scorer set it."""

    def request(self, recipe: Recipe) -> None:
        """Must neither wait nor raise."""
        ...


Key = tuple[str, Regions]
"""A SKU, and the regions of a camera."""


@dataclass(slots=True)
class _Refusal:
    """A version that could not be prepared."""

    version: int
    error: Exception
    until: float
    """When it may be tried again, on the monotonic clock."""
    known: bool = False
    """Whether a frame ended by it: until then it holds, however late the frame comes to it."""


class RecipeCache:
    """Prepared recipes by SKU. The least recently used is dropped first.

    Recipes are prepared in a thread of their own: nobody who asks for one waits. A newer version takes over
    between two batches. Until it is ready, and if it cannot be prepared, frames are inspected with the
    version at hand.

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
        refused_s: float = REFUSED_S,
        kept: KeptTensors | None = None,
    ) -> None:
        """
        Args:
            rules: hold the regions of cameras.
            policy: of their thresholds; None: the recipe's stay.
            refused_s: pause before a version that could not be prepared is tried again.
            kept: where memories outlive the process; None: nowhere.
        """
        self._book = book
        self._inspector = inspector
        self._memories = KeptMemories(inspector, kept)
        self._media = media
        self._codec = codec
        self._method = method
        self.capacity = capacity
        self._rules = rules or CameraRulebook()
        self._policy = policy
        self._ready: OrderedDict[Key, Prepared] = OrderedDict()
        self._loading: dict[Key, Future[None]] = {}
        self._refused: dict[Key, _Refusal] = {}
        self._written: dict[str, int] = {}
        self._refused_s = refused_s
        self._under_way: tuple[str, float] | None = None
        self._lock = threading.Lock()
        self._loader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recipes")
        # Thresholds take longer than a memory, and frames that wait for a recipe do not wait for them.
        self._calibrating = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recipe-thresholds")
        self._templates = {regions: self._template(regions) for regions in (EVERYWHERE, *self._rules.regions)}

    def close(self) -> None:
        """Stop preparing, after what is under way."""
        self._loader.shutdown(wait=True, cancel_futures=True)
        self._calibrating.shutdown(wait=True, cancel_futures=True)

    @property
    def under_way(self) -> tuple[str, float] | None:
        """The SKU whose recipe is being prepared, and for how many seconds; None if none is."""
        under_way = self._under_way
        return None if under_way is None else (under_way[0], time.monotonic() - under_way[1])

    def regions_of(self, camera: Camera) -> Regions:
        """What is inspected of a camera's frames, whatever they show."""
        return self._rules.of(camera).regions

    def current(self, sku: str, regions: Regions = EVERYWHERE) -> Prepared | None:
        """The recipe to inspect the next frame of ``sku`` with, from a camera with these regions.

        None while it is being prepared, which this begins; :meth:`is_pending` says when to ask again.

        Raises:
            SightlineError: its only version cannot be prepared, or the database does not answer.
            RuntimeError, ValueError: the same, as the method gives it.
        """
        version, key = self._book.active_version(sku), (sku, regions)
        if version is None:
            return self._template_for(key)
        with self._lock:
            held = self._ready.get(key)
            if held is not None:
                self._ready.move_to_end(key)
        if held is None:
            self._raise_refusal(key, version)
        if held is None or held.recipe.version != version:
            self._load_beside(key, version)
        return held

    def is_pending(self, key: Key) -> bool:
        """Whether its recipe is being prepared. Asks no database."""
        with self._lock:
            running = self._loading.get(key)
        return running is not None and not running.done()

    def expect(self, sku: str, camera: Camera) -> Future[None] | None:
        """Prepare what the next frame of ``sku`` from this camera needs; None if there is nothing to do.

        The future ends with the attempt, whatever came of it. Raises StorageError.
        """
        version, key = self._book.active_version(sku), (sku, self.regions_of(camera))
        with self._lock:
            held = self._ready.get(key)
        if version is None or (held is not None and held.recipe.version == version):
            return None
        return self._load_beside(key, version)

    def is_in_force(self, sku: str, version: int) -> bool:
        """Whether the next frame of ``sku`` is inspected with ``version``, which was activated.

        If not, it is being prepared from now on. Raises as :meth:`current` if it cannot be.
        """
        with self._lock:
            held = {key: one.recipe.version for key, one in self._ready.items() if key[0] == sku}
            full = len(self._ready) >= self.capacity
        if full and not held:
            return True  # it is prepared with its first frame: others are in use
        held = held or {(sku, self._rules.default.regions): 0}
        behind = [key for key, known in held.items() if known != version]
        for key in behind:
            self._raise_refusal(key, version)
            self._load_beside(key, version)
        return not behind

    def has_written(self, sku: str, version: int) -> bool:
        """Whether the version came by :meth:`put`: this agent made it."""
        return self._written.get(sku) == version

    def _raise_refusal(self, key: Key, version: int) -> None:
        with self._lock:
            self._refuse_unforeseen(key, version)
            refused = self._refused.get(key)
            if refused is None or refused.version != version:
                return
            if refused.known and time.monotonic() >= refused.until:
                return
            refused.known = True
            if isinstance(refused.error, StorageError):
                del self._refused[key]  # not the recipe's fault: who asks again may try again
        raise refused.error.with_traceback(None)  # one error is raised for many frames

    def _refuse_unforeseen(self, key: Key, version: int) -> None:
        """What ended the attempt though nobody foresaw it concerns this recipe only."""
        running = self._loading.get(key)
        if running is None or not running.done() or running.cancelled():
            return
        error = running.exception()
        if error is not None:
            del self._loading[key]
            logger.error("the recipe of %r cannot be prepared", key[0], exc_info=error)
            why = ModelError(f"it cannot be prepared ({type(error).__name__}: {error}), see the agent's log")
            self._refused[key] = _Refusal(version, why, time.monotonic() + self._refused_s)

    def put(self, prepared: Prepared) -> None:
        """Add a recipe that was just enrolled, so that it is not prepared again."""
        self._written[prepared.recipe.sku] = prepared.recipe.version
        self._put((prepared.recipe.sku, EVERYWHERE), prepared)
        self._memories.keep(prepared)

    def _put(self, key: Key, prepared: Prepared) -> None:
        with self._lock:
            # The last one stays, even if its version is older: a person may have gone back to it. If two
            # come at once, `current` sees a version that is not the active one and loads again.
            self._ready[key] = prepared
            self._ready.move_to_end(key)
            while len(self._ready) > self.capacity:
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

    def _template(self, regions: Regions) -> Prepared:
        return self._inspector.prepare(replace(template_recipe("generic", self._method), regions=regions), ())

    def _template_for(self, key: Key) -> Prepared:
        sku, regions = key
        template = self._templates.get(regions)
        if template is None:
            template = self._templates[regions] = self._template(regions)
        return template.with_recipe(replace(template.recipe, sku=sku, calibration=None))

    def _load(self, key: Key) -> None:
        sku, regions = key
        recipe = self._book.active(sku)
        if recipe is None:
            return
        recipe = self._with_own_threshold(recipe)
        images = self.images(recipe.references)
        seen = replace(recipe, regions=recipe.regions.combined_with(regions))
        with self._lock:
            held = self._ready.get(key)
        prepared = self._memories.prepare(seen, images, held)
        self._put(key, prepared)
        if seen.regions != recipe.regions and self._policy is not None and _from_references(recipe):
            self._calibrating.submit(self._calibrate_beside, key, prepared, images, self._policy)

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

    def _load_beside(self, key: Key, version: int) -> Future[None] | None:
        """The attempt that is under way, or begins now; None if it is too early for another one."""
        with self._lock:
            running, refused = self._loading.get(key), self._refused.get(key)
            if running is not None and not running.done():
                return running
            if refused is not None and refused.version == version and time.monotonic() < refused.until:
                return None
            held = self._ready.get(key)
            if held is not None and held.recipe.version == version:
                return None  # it has just become ready
            started = self._loading[key] = self._loader.submit(self._load_or_refuse, key, version)
            return started

    def _load_or_refuse(self, key: Key, version: int) -> None:
        sku, _ = key
        started = time.monotonic()
        self._under_way = sku, started
        try:
            self._load(key)
        except (SightlineError, RuntimeError, ValueError) as error:  # torch raises RuntimeError
            # The version at hand goes on. This one is tried again after a pause, not for every frame.
            with self._lock:
                pause_s = self._refused_s if key in self._ready else min(FAILED_S, self._refused_s)
                until = time.monotonic() + pause_s
                # Without its traceback: that would keep the tensors it passed.
                self._refused[key] = _Refusal(version, error.with_traceback(None), until)
            logger.error(
                "recipe version %d of %r cannot be used: %s", version, sku, error, extra=about(None, sku=sku)
            )
        else:
            with self._lock:
                self._refused.pop(key, None)
            took = time.monotonic() - started
            logger.info(
                "recipe version %d of %r is prepared, after %.1f s", version, sku, took,
                extra=about(None, sku=sku),
            )  # fmt: skip
        finally:
            self._under_way = None


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
