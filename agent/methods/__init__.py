"""Methods: published ways to score a frame, and the arithmetic they share."""

from __future__ import annotations

from collections.abc import Mapping

from agent.errors import RecipeError
from agent.methods.fade import Fade, FadeParameters
from agent.methods.method import Method, Prepared, Scored
from agent.methods.null import Null
from agent.methods.parameters import override
from agent.methods.sightline import SIGHTLINE
from agent.ports import ImageTextEncoder, PatchEncoder
from agent.recipe import Parameter

PRESETS: Mapping[str, FadeParameters] = {
    "fade": FadeParameters(),
    "sightline": SIGHTLINE,
}
"""The methods that are FADE's arithmetic with constants of their own."""

NAMES = (*PRESETS, "null")


def build_method(
    name: str,
    encoder: ImageTextEncoder | None = None,
    backbone: PatchEncoder | None = None,
    *,
    parameters: Mapping[str, Parameter] | None = None,
    null_cost_ms: float = 0.0,
) -> Method:
    """The method called ``name``. ``parameters`` (of the profile) stand between preset and recipe.

    Raises:
        RecipeError: no such method, or a parameter that it does not have.
    """
    if name == "null":
        return Null(null_cost_ms)
    if name not in PRESETS:
        raise RecipeError(f"there is no method {name!r}; known are {', '.join(NAMES)}")
    if encoder is None:
        raise RecipeError(f"method {name!r} needs a vision-language model")
    return Fade(encoder, backbone, override(PRESETS[name], parameters or {}))


__all__ = ["NAMES", "PRESETS", "Fade", "Method", "Null", "Prepared", "Scored", "build_method"]
