"""``Models`` loads each model of a configuration once; ``build_methods`` builds the methods over them."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, fields
from functools import cached_property
from typing import cast

import torch

from adapters.models.device import pick_device, pick_precision, use_threads
from adapters.models.encoders.tagger import ClipTagger
from adapters.models.kept_files import KeptFiles
from adapters.models.kept_tensors import SUFFIX, KeptTexts, TensorFiles
from adapters.models.registry import load_backbone, load_clip, load_detector, load_segmenter
from adapters.models.runtimes.compiler import Compiler, pick_runtime
from adapters.models.untrained import (
    untrained_backbone,
    untrained_clip,
    untrained_detector,
    untrained_segmenter,
)
from adapters.models.weights.needs import ModelNames
from agent.domain.errors import ModelError, RecipeError
from agent.domain.frame import Image
from agent.domain.recipe import Parameter, Recipe
from agent.inference.inspector import Inspector
from agent.inference.tiled import method_parameters
from agent.methods.parameters import ASPECT, KEEP
from agent.methods.prepared import Method
from agent.methods.registry import MethodModels, MethodRegistry, MethodSpec, find_method
from agent.methods.sightline import PRESET as SIGHTLINE
from agent.onboarding.product_region import Boxes
from agent.ports import Detector, ImageTextEncoder, PatchEncoder, Segmenter
from config import Settings

logger = logging.getLogger(__name__)


KEPT_BYTES = 2_000_000_000
"""Of all memories together, and a tenth of it of text embeddings; beyond it those go that were used longest
ago."""


def kept_memories(settings: Settings) -> TensorFiles:
    """Where memories of recipes outlive the process."""
    models = settings.models
    files = KeptFiles(models.cache / "memories", SUFFIX, KEPT_BYTES)
    return TensorFiles(files, pick_device(models.device))


class Models:
    """Loads a model when the first method needs it. Every property raises ModelError."""

    def __init__(self, settings: Settings) -> None:
        self.names = ModelNames.of(settings)
        self._models = settings.models
        self._files = {name: str(file) for name, file in settings.models.files.items()}

    @cached_property
    def device(self) -> torch.device:
        use_threads(self._models.threads)
        return pick_device(self._models.device)

    @cached_property
    def precision(self) -> torch.dtype:
        return pick_precision(self._models.precision, self.device)

    @cached_property
    def compiler(self) -> Compiler:
        """Of convolutional networks; the others are PyTorch's."""
        runtime = pick_runtime(self._models.runtime, self.device, self.precision)
        logger.info("convolutional networks run in %s", runtime)
        return Compiler(runtime, KeptFiles(self._models.cache / "graphs", ".onnx"))

    @cached_property
    def encoder(self) -> ImageTextEncoder:
        encoder = load_clip(
            self.names.clip,
            self._models.path,
            self._files,
            preprocessing=self._models.preprocessing,
            device=self.device,
            dtype=self.precision,
            compiler=self.compiler,
        )
        files = KeptFiles(self._models.cache / "texts", SUFFIX, KEPT_BYTES // 10)
        return cast(ImageTextEncoder, KeptTexts(encoder, TensorFiles(files, self.device)))

    @cached_property
    def backbone(self) -> PatchEncoder:
        """The model of few-shot features, if it is not the encoder."""
        return load_backbone(
            self.names.backbone,
            self._models.path,
            self._files,
            device=self.device,
            dtype=self.precision,
            compiler=self.compiler,
        )

    @cached_property
    def detector(self) -> Detector:
        """The configured detector, or the default one if a recipe's method needs one."""
        return load_detector(
            self.names.detector_in_use,
            self._models.path,
            self._files,
            device=self.device,
            dtype=self.precision,
        )

    @cached_property
    def segmenter(self) -> Segmenter:
        """The configured segmenter, or the default one if a recipe's method needs one."""
        return load_segmenter(
            self.names.segmenter_in_use,
            self._models.path,
            self._files,
            device=self.device,
            dtype=self.precision,
        )

    @cached_property
    def tagger(self) -> ClipTagger | None:
        """Names products that have no noun; None if the vision-language model is missing."""
        try:
            return ClipTagger(self.encoder)
        except ModelError as error:
            logger.warning("products without a noun are called 'object', for lack of a tagger: %s", error)
            return None

    def of(self, spec: MethodSpec) -> MethodModels:
        """The models of a method: all that it needs, and those it can use if they are configured."""
        names = self.names
        backbone = "backbone" in spec.needs | spec.takes and names.own_backbone
        detector = "detector" in spec.needs or ("detector" in spec.takes and names.detector is not None)
        segmenter = "segmenter" in spec.needs or ("segmenter" in spec.takes and names.segmenter is not None)
        # If no backbone is configured, the image tower of the encoder gives the features.
        encoder = "encoder" in spec.needs or ("backbone" in spec.needs and not backbone)
        return MethodModels(
            encoder=self.encoder if encoder else None,
            backbone=self.backbone if backbone else None,
            detector=self.detector if detector else None,
            segmenter=self.segmenter if segmenter else None,
            tagger=self.tagger if "tagger" in spec.takes else None,
        )


class UntrainedModels(Models):
    """The same models at their true size with random weights, for timing only. Reads no file."""

    @cached_property
    def encoder(self) -> ImageTextEncoder:
        return untrained_clip(
            self.names.clip, device=self.device, dtype=self.precision, compiler=self.compiler
        )

    @cached_property
    def backbone(self) -> PatchEncoder:
        return untrained_backbone(
            self.names.backbone, device=self.device, dtype=self.precision, compiler=self.compiler
        )

    @cached_property
    def detector(self) -> Detector:
        return untrained_detector(self.names.detector_in_use, device=self.device, dtype=self.precision)

    @cached_property
    def segmenter(self) -> Segmenter:
        return untrained_segmenter(self.names.segmenter_in_use, device=self.device, dtype=self.precision)


def build_methods(settings: Settings, models: Models | None = None) -> MethodRegistry:
    """The methods that recipes may name, each built when the first recipe names it.

    A configured method that does not inspect (``"null"``) replaces them all, to measure the agent around the
    models. Raises RecipeError if no method has the configured name.
    """
    loaded = models or Models(settings)
    configured = find_method(settings.inspection.method)
    loading = threading.Lock()

    def build(name: str) -> Method:
        spec = find_method(name)
        with loading:  # two methods may need the same model at once
            parameters = _parameters(settings, spec)
            return spec.build(loaded.of(spec), parameters)

    if not configured.inspects:
        return MethodRegistry.only(build(configured.name), configured.name)
    return MethodRegistry(configured.name, build)


def _parameters(settings: Settings, spec: MethodSpec) -> dict[str, Parameter]:
    """The parameters that the configuration sets for a method, including those from other sections.

    Raises RecipeError, which names the key: the method has no such parameter, or refuses its value.
    """
    inspection = settings.inspection
    given: dict[str, Parameter] = {**settings.references.parameters, "null_cost_ms": inspection.null_cost_ms}
    known = {field.name for field in fields(spec.preset)}
    general = {name: value for name, value in given.items() if name in known}
    own = inspection.parameters.get(spec.name, {})
    try:
        spec.parameters({**general, **own})
    except RecipeError as error:
        section = f"inspection.parameters.{spec.name}" if own else "references"
        raise RecipeError(f"{section}: {error}") from error
    return {**general, **own}


@dataclass(frozen=True, slots=True)
class JudgedSide:
    """What a method scales images to."""

    side: int
    """In pixels, the largest if there are several."""
    keeps_aspect: bool
    """If so, the shorter side becomes :attr:`side` or, with :attr:`keeps_area`, the area is that of a square
    of this side. Otherwise both sides become it."""
    keeps_area: bool = False


def judged_side(settings: Settings, recipe: Recipe) -> JudgedSide | None:
    """What the recipe's method scales images to; None if its models do so by rules of their own.

    Raises RecipeError.
    """
    spec = find_method(recipe.method)
    values = {**_parameters(settings, spec), **method_parameters(recipe.parameters)}
    parameters = spec.parameters(values)
    if spec.needs & {"detector", "segmenter"}:
        return None
    scales = getattr(parameters, "scales", None) or (getattr(parameters, "size", None),)
    if not all(isinstance(scale, int) for scale in scales):
        return None
    kept = getattr(parameters, ASPECT, None) == KEEP
    return JudgedSide(max(scales), kept or recipe.method == "anomaly-dino", keeps_area=kept)


def build_inspector(settings: Settings, models: Models | None = None) -> Inspector:
    """Load the models of the configured method. Models of other recipes are loaded when those are used.

    ``models`` replaces the models that ``settings`` names. Raises ModelError, RecipeError.
    """
    inspector = Inspector(build_methods(settings, models))
    _ = inspector.method  # a missing model is reported at start, not with the first frame
    return inspector


def product_boxes(settings: Settings, noun: str) -> Boxes | None:
    """See :meth:`agent.app.Application.product_boxes`."""
    if settings.models.detector is None:
        return None
    detector = Models(settings).detector

    def best(image: Image) -> tuple[int, int, int, int] | None:
        p = SIGHTLINE
        (found,) = detector.detect(
            [image], [(noun,)], box_threshold=p.box_threshold, text_threshold=p.text_threshold
        )
        if not len(found.scores):
            return None
        x0, y0, x1, y1 = (int(side) for side in found.boxes[int(found.scores.argmax())])
        return x0, y0, x1, y1

    return best
