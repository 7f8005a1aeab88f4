"""Methods: published ways to score a frame, and the arithmetic they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from agent.domain.errors import RecipeError
from agent.domain.recipe import Parameter
from agent.methods.anomaly_dino import AnomalyDino, AnomalyDinoParameters
from agent.methods.apg_gd import ApgGd, ApgGdParameters
from agent.methods.fade import FADE, Fade, FadeParameters
from agent.methods.iap_as import IapAs, IapAsParameters
from agent.methods.null import Null
from agent.methods.parameters import override
from agent.methods.prepared import Method, Prepared, Scored
from agent.methods.registry import MethodRegistry
from agent.methods.sightline import SIGHTLINE, Sightline
from agent.methods.tagging import ReproducibleTagger
from agent.methods.winclip import WinClip, WinClipParameters
from agent.ports import Detector, ImageTextEncoder, PatchEncoder, Segmenter, WindowEncoder

T = TypeVar("T")

PRESETS: Mapping[str, Any] = {
    "fade": FADE,
    "sightline": SIGHTLINE,
    "winclip": WinClipParameters(),
    "anomaly-dino": AnomalyDinoParameters(),
    "apg-gd": ApgGdParameters(),
    "iap-as": IapAsParameters(),
}
"""The parameters of every method, a frozen dataclass each, with the values of its paper."""

NAMES = (*PRESETS, "null")

NEEDS: Mapping[str, frozenset[str]] = {
    "fade": frozenset({"encoder"}),
    "sightline": frozenset({"encoder"}),
    "winclip": frozenset({"encoder"}),
    "anomaly-dino": frozenset({"backbone"}),
    "apg-gd": frozenset({"encoder", "detector"}),
    "iap-as": frozenset({"detector", "segmenter"}),
    "null": frozenset(),
}
"""The models without which a method cannot run; anomaly-dino takes the encoder where no backbone is given."""

TAKES: Mapping[str, frozenset[str]] = {
    "fade": frozenset({"backbone"}),
    "sightline": frozenset({"backbone", "detector", "segmenter"}),
    "anomaly-dino": frozenset({"backbone"}),
    "iap-as": frozenset({"tagger"}),
}
"""The models that a method uses where they are configured, and does without where they are not."""

_TITLES = {
    "encoder": "a vision-language model",
    "backbone": "a few-shot backbone",
    "detector": "a detector",
    "segmenter": "a segmenter",
}


def build_method(
    name: str,
    encoder: ImageTextEncoder | None = None,
    backbone: PatchEncoder | None = None,
    detector: Detector | None = None,
    segmenter: Segmenter | None = None,
    *,
    tagger: ReproducibleTagger | None = None,
    parameters: Mapping[str, Parameter] | None = None,
    null_cost_ms: float = 0.0,
) -> Method:
    """The method called ``name``. ``parameters`` (of the profile) stand between preset and recipe.

    Raises:
        RecipeError: no such method, a model that it needs is missing, or a parameter that it does not have.
    """
    if name == "null":
        return Null(null_cost_ms)
    if name not in PRESETS:
        raise RecipeError(f"there is no method {name!r}; known are {', '.join(NAMES)}")
    defaults = override(PRESETS[name], parameters or {})
    if name == "anomaly-dino":
        return AnomalyDino(_required(name, "backbone", backbone or encoder), defaults)
    if name == "iap-as":
        return IapAs(
            _required(name, "detector", detector),
            _required(name, "segmenter", segmenter),
            defaults,
            tagger=tagger,
        )
    return _of_words(name, _required(name, "encoder", encoder), backbone, detector, segmenter, defaults)


def _of_words(
    name: str,
    encoder: ImageTextEncoder,
    backbone: PatchEncoder | None,
    detector: Detector | None,
    segmenter: Segmenter | None,
    defaults: Any,
) -> Method:
    """The methods that compare images with words."""
    if name == "apg-gd":
        return ApgGd(encoder, _required(name, "detector", detector), defaults)
    if name == "winclip":
        if not hasattr(encoder, "encode_windows"):
            raise RecipeError(
                f"method 'winclip' needs windows of patches, which {encoder.name} does not give"
            )
        return WinClip(cast(WindowEncoder, encoder), defaults)
    if name == "sightline" and (detector is not None or segmenter is not None):
        return Sightline(encoder, backbone, detector, segmenter, defaults)
    return Fade(encoder, backbone, defaults)


def _required(method: str, role: str, model: T | None) -> T:
    if model is None:
        raise RecipeError(f"method {method!r} needs {_TITLES[role]}; none is configured")
    return model


__all__ = [
    "NAMES",
    "NEEDS",
    "PRESETS",
    "TAKES",
    "AnomalyDino",
    "ApgGd",
    "Fade",
    "FadeParameters",
    "IapAs",
    "Method",
    "MethodRegistry",
    "Null",
    "Prepared",
    "Scored",
    "Sightline",
    "WinClip",
    "build_method",
]
