"""The models of one configuration, each loaded once, and the methods that share them."""

from __future__ import annotations

import logging
import threading
from dataclasses import fields
from functools import cached_property

import torch

from adapters.models.device import pick_device, pick_precision
from adapters.models.encoders.tagger import ClipTagger
from adapters.models.registry import load_backbone, load_clip, load_detector, load_segmenter
from adapters.models.weights.needs import DEFAULT_DETECTOR, DEFAULT_SEGMENTER
from agent.domain.errors import ModelError
from agent.domain.recipe import Parameter
from agent.inference.inspector import Inspector
from agent.methods import NEEDS, PRESETS, TAKES, build_method
from agent.methods.prepared import Method
from agent.methods.registry import MethodRegistry
from agent.ports import Detector, ImageTextEncoder, PatchEncoder, Segmenter
from config import Settings

logger = logging.getLogger(__name__)


class Models:
    """Loads a model when the first method asks for it. Every property raises ModelError."""

    def __init__(self, settings: Settings) -> None:
        self._models = settings.models
        self._backbone_name = settings.inspection.backbone
        self._files = {name: str(file) for name, file in settings.models.files.items()}

    @property
    def own_backbone(self) -> bool:
        """Whether few-shot features come from a model of their own."""
        return self._backbone_name != "clip"

    @cached_property
    def device(self) -> torch.device:
        """Where all of them run."""
        return pick_device(self._models.device, self._models.threads)

    @cached_property
    def precision(self) -> torch.dtype:
        """What all of them compute in."""
        return pick_precision(self._models.precision, self.device)

    @cached_property
    def encoder(self) -> ImageTextEncoder:
        """The vision-language model."""
        models = self._models
        return load_clip(
            models.clip,
            models.path,
            self._files,
            preprocessing=models.preprocessing,
            device=self.device,
            dtype=self.precision,
        )

    @cached_property
    def backbone(self) -> PatchEncoder:
        """The model of few-shot features, where it is not the encoder."""
        return load_backbone(
            self._backbone_name, self._models.path, self._files, device=self.device, dtype=self.precision
        )

    @cached_property
    def detector(self) -> Detector:
        """The configured detector, or the default one where a recipe's method needs one."""
        name = self._models.detector or DEFAULT_DETECTOR
        return load_detector(name, self._models.path, self._files, device=self.device, dtype=self.precision)

    @cached_property
    def segmenter(self) -> Segmenter:
        """The configured segmenter, or the default one where a recipe's method needs one."""
        name = self._models.segmenter or DEFAULT_SEGMENTER
        return load_segmenter(name, self._models.path, self._files, device=self.device, dtype=self.precision)

    @cached_property
    def tagger(self) -> ClipTagger | None:
        """Names products without a noun; None where the vision-language model is not there: they need one."""
        try:
            return ClipTagger(self.encoder)
        except ModelError as error:
            logger.warning("products without a noun are called 'object', for lack of a tagger: %s", error)
            return None


def build_methods(settings: Settings, models: Models | None = None) -> MethodRegistry:
    """The methods that recipes may name, built as they are asked for.

    ``inspection.method: "null"`` stands in place of all of them: it measures the agent around the models.
    """
    options, models = settings.inspection, models or Models(settings)
    if options.method == "null":
        return MethodRegistry.only(build_method("null", null_cost_ms=options.null_cost_ms), "null")
    configured = {
        "backbone": models.own_backbone,
        "detector": settings.models.detector is not None,
        "segmenter": settings.models.segmenter is not None,
        "tagger": True,
    }
    loading = threading.Lock()

    def build(name: str) -> Method:
        wanted = NEEDS.get(name, frozenset()) | {role for role in TAKES.get(name, ()) if configured[role]}
        if wanted >= {"backbone"} and not models.own_backbone:
            wanted = (wanted - {"backbone"}) | {"encoder"}  # the image tower gives the features
        with loading:  # two methods may ask for the same model at once
            return build_method(
                name,
                models.encoder if "encoder" in wanted else None,
                models.backbone if "backbone" in wanted else None,
                models.detector if "detector" in wanted else None,
                models.segmenter if "segmenter" in wanted else None,
                tagger=models.tagger if "tagger" in wanted else None,
                parameters={**_of_references(settings, name), **options.parameters.get(name, {})},
            )

    return MethodRegistry(options.method, build)


def _of_references(settings: Settings, name: str) -> dict[str, Parameter]:
    """What the section ``references`` says, as far as the method memorises references."""
    known = {field.name for field in fields(PRESETS[name])} if name in PRESETS else set()
    return {key: value for key, value in settings.references.parameters.items() if key in known}


def build_inspector(settings: Settings, models: Models | None = None) -> Inspector:
    """Load what the configured method needs; what recipes need beside it is loaded when they come.

    ``models``: others than those of the files that ``settings`` names. Raises ModelError, RecipeError.
    """
    inspector = Inspector(build_methods(settings, models))
    _ = inspector.method  # a missing model is told at start, not with the first frame
    return inspector
