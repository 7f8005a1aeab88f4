"""PromptSet: what a good and a defective product look like, in words; WinCLIP's compositional ensemble."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum

from agent.domain.articles import with_article
from agent.domain.errors import RecipeError

GENERIC_NOUN = "object"
"""What a product is called until somebody names it, and the noun of the map's descriptions (METHODS 1.3)."""


class PromptSource(StrEnum):
    """Who wrote a prompt set."""

    TEMPLATE = "template"
    OLLAMA = "ollama"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class NamedDefect:
    """A kind of defect and the phrases that describe it."""

    name: str
    phrases: tuple[str, ...]
    severity: str = ""
    """How bad it is, in the words of its author (``minor``, ``critical``). Empty: unknown."""


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Normal and anomalous descriptions and named defects, with where they came from."""

    normal: tuple[str, ...]
    anomalous: tuple[str, ...]
    defects: tuple[NamedDefect, ...] = ()
    source: PromptSource = PromptSource.TEMPLATE
    provenance: dict[str, str] = field(default_factory=dict)
    """What explains the text: model, model digest, seed, hash of the instruction."""

    def __post_init__(self) -> None:
        if not self.normal or not self.anomalous:
            raise RecipeError("a prompt set needs at least one normal and one anomalous description")

    @property
    def digest(self) -> str:
        """sha256 of the words alone: the key under which their embeddings may be cached."""
        words = [self.normal, self.anomalous, [(d.name, d.phrases) for d in self.defects]]
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()


_STATES_NORMAL = (
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
)
_STATES_ANOMALOUS = ("damaged {}", "{} with flaw", "{} with defect", "{} with damage")
_LOOKS = ("cropped", "close-up", "bright", "dark", "jpeg corrupted", "blurry", "")
_PURPOSES = ("visual inspection", "anomaly detection")


def _templates() -> tuple[str, ...]:
    looks = [f"a {f'{look} ' if look else ''}photo of {a} {{}}" for look in _LOOKS for a in ("a", "the")]
    sizes = [f"a photo of {a} {size} {{}}" for size in ("small", "large") for a in ("a", "the")]
    purposes = [f"a photo of {a} {{}} for {purpose}" for purpose in _PURPOSES for a in ("a", "the")]
    return tuple(looks + sizes + purposes)


TEMPLATES = _templates()
"""The 22 templates of WinCLIP's compositional ensemble (METHODS section 2)."""

COMMON_DEFECTS = (
    NamedDefect("scratch", ("a scratch", "a scratched surface", "a thin scratch line")),
    NamedDefect("crack", ("a crack", "a cracked surface", "a fracture line")),
    NamedDefect("dent", ("a dent", "a dented surface", "a pressed-in spot")),
    NamedDefect("hole", ("a hole", "a pit in the surface", "a puncture")),
    NamedDefect("stain", ("a stain", "a stained surface", "a dirty blotch")),
    NamedDefect("chipped edge", ("a chipped edge", "a broken edge", "a missing corner")),
    NamedDefect("missing part", ("a missing part", "an absent component", "an incomplete product")),
    NamedDefect("contamination", ("contamination", "a foreign particle", "a fibre on the surface")),
    NamedDefect("misprint", ("a misprint", "smeared print", "a wrong or missing letter")),
    NamedDefect("discolouration", ("discolouration", "a wrong colour", "a faded spot")),
)
"""Defects that any product may have: labels for a region if nobody named better ones."""


def compositional_ensemble(noun: str) -> PromptSet:
    """WinCLIP's prompt ensemble for a noun: 154 normal and 88 anomalous strings (METHODS section 2).

    The noun gets its article: "an axle". The words around it stay as published ("a unblemished axle"), and so
    does the ensemble of the generic noun, on which the maps of stored recipes depend.
    """
    noun = " ".join(noun.replace("_", " ").split())
    if not noun:
        raise RecipeError("a product needs a noun before prompts can be written for it")

    def compose(states: tuple[str, ...]) -> tuple[str, ...]:
        texts = (template.format(state.format(noun)) for state in states for template in TEMPLATES)
        return tuple(text if noun == GENERIC_NOUN else with_article(text, noun) for text in texts)

    return PromptSet(
        normal=compose(_STATES_NORMAL),
        anomalous=compose(_STATES_ANOMALOUS),
        defects=COMMON_DEFECTS,
        provenance={"template": "winclip-compositional", "noun": noun},
    )


def combine(*sets: PromptSet) -> PromptSet:
    """The descriptions of all sets. Duplicates stay, since FADE's mean counts them (METHODS section 1.3).

    Defects, source and provenance are those of the last set.
    """
    return PromptSet(
        normal=tuple(text for each in sets for text in each.normal),
        anomalous=tuple(text for each in sets for text in each.anomalous),
        defects=sets[-1].defects,
        source=sets[-1].source,
        provenance=dict(sets[-1].provenance),
    )
