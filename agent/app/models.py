"""The models and the method of one configuration."""

from __future__ import annotations

from adapters.models.device import pick_device
from adapters.models.needs import DEFAULT_DETECTOR, DEFAULT_SEGMENTER
from adapters.models.registry import load_backbone, load_clip, load_detector, load_segmenter
from agent.inspector import Inspector
from agent.methods import NEEDS, build_method
from config import Settings


def build_inspector(settings: Settings) -> Inspector:
    """Load what the method needs and what the configuration names. Raises ModelError, RecipeError."""
    options, models = settings.inspection, settings.models
    needs = NEEDS.get(options.method, frozenset())
    if options.method == "null":
        return Inspector(build_method("null", null_cost_ms=options.null_cost_ms))
    device = pick_device(models.device, models.threads)
    files = {name: str(file) for name, file in models.files.items()}
    own_backbone = options.backbone != "clip"
    encoder = backbone = detector = segmenter = None
    if "encoder" in needs or ("backbone" in needs and not own_backbone):
        encoder = load_clip(
            models.clip, models.path, files, preprocessing=models.preprocessing, device=device
        )
    if own_backbone:
        backbone = load_backbone(options.backbone, models.path, files, device=device)
    if models.detector or "detector" in needs:
        name = models.detector or DEFAULT_DETECTOR
        detector = load_detector(name, models.path, files, device=device)
    if models.segmenter or "segmenter" in needs:
        name = models.segmenter or DEFAULT_SEGMENTER
        segmenter = load_segmenter(name, models.path, files, device=device)
    method = build_method(
        options.method,
        encoder,
        backbone,
        detector,
        segmenter,
        parameters=options.parameters.get(options.method, {}),
    )
    return Inspector(method)
