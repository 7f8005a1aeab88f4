"""Descriptions that stand in for a language model's in the trial of auditions.

They are what their names say, fixed, and written by hand before any of them was measured: sentences that fit
each product, those of another product, and those that fit turned round.
"""

from __future__ import annotations

from collections.abc import Mapping

from adapters.lab.studies.products import TEN
from agent.domain.prompts import COMMON_DEFECTS, PromptSet, PromptSource

_NORMAL = ("a photo of a flawless {}", "an inspection photo of an intact {}", "a photo of a {} that is {}")
_ANOMALOUS = (
    "a photo of a {} with {}",
    "a close-up photo of {1} on a {0}",
    "an inspection photo of a {} with {}",
)

_SPECIFIC: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "screw": (
        "metal screw",
        ("straight with an even thread", "clean with a sharp drive in its head", "uniform in colour"),
        (
            "a damaged thread",
            "a bent shank",
            "rust on its head",
            "a scratch along the shank",
            "a chipped tip",
        ),
    ),
    "connector": (
        "plastic connector",
        ("complete with all its pins", "clean with straight contacts", "smooth at its edges"),
        ("a missing pin", "a bent pin", "a cracked housing", "dirt between its contacts", "a melted edge"),
    ),
    "bottle_base": (
        "glass bottle base",
        ("clear with even rings", "round without any chip", "evenly coloured"),
        (
            "a chipped rim",
            "a crack in the glass",
            "a bubble",
            "dirt in the glass",
            "a scratch across its rings",
        ),
    ),
    "leather": (
        "piece of leather",
        ("even in its grain", "uniform in colour", "smooth without a mark"),
        ("a cut", "a hole", "a fold", "a stain", "a scratch across the grain", "glue on its surface"),
    ),
    "gear": (
        "metal gear",
        ("complete with all its teeth", "clean with an even bore", "uniform in colour"),
        ("a broken tooth", "a missing tooth", "a scratch on its face", "rust on its teeth", "a dent"),
    ),
    "printed_label": (
        "printed label",
        ("printed sharply", "straight with a readable barcode", "clean at its edges"),
        ("smeared print", "a missing letter", "a tear", "a stain over its text", "a scratched barcode"),
    ),
    "circuit_board": (
        "printed circuit board",
        ("complete with all its components", "clean with shiny solder joints", "free of scratches"),
        ("a missing component", "a solder bridge", "a cut trace", "a burnt spot", "dirt between its pads"),
    ),
    "tablet": (
        "pharmaceutical tablet",
        ("round with a clear score line", "evenly coloured", "smooth at its edge"),
        ("a chipped edge", "a crack", "a coloured speck", "a worn imprint", "a broken piece"),
    ),
    "woven_cloth": (
        "woven cloth",
        ("regular in its weave", "evenly coloured", "clean without a loose thread"),
        ("a hole", "a loose thread", "a cut", "a stain", "a missing thread in its weave"),
    ),
    "bottle_cap": (
        "plastic bottle cap",
        ("round with even ridges", "printed sharply", "clean and evenly coloured"),
        ("a cracked side", "a smeared print", "a dent", "a scratch over its logo", "a missing ridge"),
    ),
}


def specific(family: str) -> PromptSet:
    """Sentences that fit the product."""
    noun, states, defects = _SPECIFIC[family]
    normal = [text.format(noun, state) for text in _NORMAL for state in states]
    anomalous = [text.format(noun, defect) for text in _ANOMALOUS for defect in defects]
    return _manual("specific", tuple(dict.fromkeys(normal)), tuple(anomalous))


def off_topic(family: str) -> PromptSet:
    """Sentences that fit another product of the ten, of another kind."""
    other = TEN[(TEN.index(family) + 3) % len(TEN)]
    words = specific(other)
    return _manual("off topic", words.normal, words.anomalous)


def inverted(family: str) -> PromptSet:
    """Sentences that fit, the good taken for the bad."""
    words = specific(family)
    return _manual("inverted", words.anomalous, words.normal)


def _manual(name: str, normal: tuple[str, ...], anomalous: tuple[str, ...]) -> PromptSet:
    return PromptSet(normal, anomalous, COMMON_DEFECTS, PromptSource.MANUAL, {"trial": name})


STAND_INS = {"specific": specific, "off topic": off_topic, "inverted": inverted}
"""By the names that the table carries."""
