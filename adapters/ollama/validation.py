"""``checked_defects``, ``checked_prompts`` and others: what may be used of an answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

from adapters.models.encoders.vocabulary import VOCABULARY
from adapters.ollama.answers import (
    DefectAnswer,
    DefectsAnswer,
    PromptsAnswer,
    TagsAnswer,
)
from adapters.ollama.errors import UnusableAnswerError
from adapters.ollama.polarity import says_bad, says_good
from adapters.ollama.products import is_material
from adapters.ollama.text import (
    Ledger,
    TokenCounter,
    clean,
    clip_tokens,
    fits,
    is_as_written,
    mentions,
    noun_pattern,
    speaks_to_a_model,
    without,
    words_of,
)
from agent.domain.prompts import NamedDefect

T = TypeVar("T")

_NOUN_CHARACTERS = 40
_NOUN = re.compile(r"[a-z]+(?:[ -][a-z]+){0,2}")
_NOUN_ARTICLE = re.compile(r"^(?:an?|the|one|some) (?=[a-z])")
_GENERIC_NOUNS = """
object item product thing part component article unit sample image photo picture photograph camera background
unknown none other nothing something
"""
_DAMAGE_NOUNS = "defect defects damage anomaly anomalies abnormal normal scratch crack stain dent flaw"
_GENERIC, _DAMAGE = frozenset(_GENERIC_NOUNS.split()), frozenset(_DAMAGE_NOUNS.split())

LEAST_DEFECTS, MOST_DEFECTS = 4, 15
"""Kinds of defect. Fifteen of three words are far fewer than the 256 tokens that a caption may have."""
MOST_PHRASES = 5
_DEFECT_ARTICLE = re.compile(r"^(?:an?|the|any|some) (?=[a-z])")
_DANGLING = re.compile(r"^(?:(?:on|in|of|the|with|an?) )+|(?: (?:on|in|of|the|with|an?))+$")
# Chat around the answer, and words that name no defect.
_NOT_DEFECTS = """
word words none nothing no normal good part parts object item product image noun nouns defect defects abnormal
anomaly anomalies damage flaw flaws other etc pass fail ok unknown
"""
_NO_DEFECT = frozenset(_NOT_DEFECTS.split())

LEAST_PROMPTS, MOST_PROMPTS = 4, 20
"""Descriptions of each side (METHODS section 6)."""
_PROMPT_WORDS = 30
_STAND_IN = re.compile(r"\b(?:object|product|item)\b")

SHORTEST_AGNOSTIC, LONGEST_AGNOSTIC = 4, 13
"""Words of one object-agnostic description."""

# Materials, surfaces and marks, and words that usually mean something else than a product.
_ALLOWED = """
brushed metal, can, chrome plating, clamp, coating, concrete, edge, fabric, file, filter, glass, grain,
granite, grid, key, label, laminate, leather, marble, match, mesh, metal sheet, metal strip, mirror,
mould, net, orange, paint, painted surface, paper, pin, polished metal, powder coating, printed text,
ring, seal, sink, solder joint, spring, steel surface, stone slab, thread, tile, veneer, weld seam, wire,
wood, wood grain, yarn, camera module, lens, lamp, lace, display, die, coil, plate, casting, plaster,
rubber seal, machined part, turned part, milled part, stamped part, punched part, plastic part, silicone
part, injection-moulded part, bent sheet metal part, extrusion, forging, composite panel, glass pane
"""
_NOT_PRODUCTS = frozenset(" ".join(noun.split()) for noun in _ALLOWED.split(","))


@dataclass(frozen=True, slots=True)
class Checked(Generic[T]):
    """The usable part of an answer."""

    value: T
    notes: tuple[str, ...] = ()
    """What was repaired or left out, a sentence each."""


def cleaned(texts: Iterable[str], what: str, ledger: Ledger) -> list[str]:
    """Plain texts, each once, without those that are not English or that address a model."""
    kept: dict[str, None] = {}
    for text in texts:
        plain = clean(text)
        if plain is None:
            ledger.left_out(what, "no English words", text)
        elif speaks_to_a_model(plain):
            ledger.left_out(what, "an order instead of a description")
        elif plain in kept:
            ledger.left_out(what, "a repetition", text)
        else:
            if not is_as_written(text, plain):
                ledger.mended(what, "links, markup or special characters removed", text)
            kept[plain] = None
    return list(kept)


def without_objections(
    texts: Iterable[str], what: str, ledger: Ledger, objection: Callable[[str], str | None]
) -> list[str]:
    """The texts to which ``objection`` returns None; the ledger records the others with their objection."""
    kept = []
    for text in texts:
        why = objection(text)
        if why is None:
            kept.append(text)
        else:
            ledger.left_out(what, why, text)
    return kept


def at_most(texts: list[str], most: int, what: str, ledger: Ledger) -> list[str]:
    """The first ``most`` texts."""
    for text in texts[most:]:
        ledger.left_out(what, f"more than {most}", text)
    return texts[:most]


def require(count: int, least: int, what: str, ledger: Ledger) -> None:
    """Raises UnusableAnswerError with all objections if fewer than ``least`` stay."""
    if count < least:
        reason = f"only {count} usable {what} where at least {least} are needed"
        wrong, hint = ("; ".join(ledger.sentences(examples=quoted)) for quoted in (True, False))
        raise UnusableAnswerError(*(f"{reason} ({why})" if why else reason for why in (wrong, hint)))


def is_noun(text: str) -> bool:
    """Whether a cleaned text is one to three words of letters."""
    return len(text) <= _NOUN_CHARACTERS and _NOUN.fullmatch(text) is not None


def checked_tags(answer: TagsAnswer, most: int) -> Checked[tuple[str, ...]]:
    """At most ``most`` words for what an image shows. Raises UnusableAnswerError if none is usable."""
    ledger = Ledger()
    tags = at_most(usable_nouns(answer.tags, "tags", ledger), most, "tags", ledger)
    require(len(tags), 1, "tags", ledger)
    return Checked(tuple(tags), ledger.sentences())


@cache
def named_products(but: frozenset[str] = frozenset()) -> re.Pattern[str]:
    """Finds the vocabulary's nouns in a cleaned text, longer ones before their parts."""
    nouns = sorted((noun.lower() for noun in VOCABULARY if noun.lower() not in but), key=len, reverse=True)
    return re.compile("|".join(noun_pattern(noun) for noun in nouns))


def usable_nouns(texts: Sequence[str], what: str, ledger: Ledger) -> list[str]:
    """Texts that are nouns of something in particular, without articles, each once."""
    bare = [_NOUN_ARTICLE.sub("", text) for text in cleaned(texts, what, ledger)]
    return without_objections(dict.fromkeys(bare), what, ledger, noun_objection)


def noun_objection(noun: str) -> str | None:
    """Why a cleaned text is not a noun of a product; None if it is one."""
    if not is_noun(noun):
        return "not one to three words of letters"
    words = set(words_of(noun.replace("-", " ")))
    if words <= _GENERIC:
        return "names nothing in particular"
    if is_material(noun):
        return "a material alone"
    return "names a defect, not a product" if words & _DAMAGE else None


def checked_defects(
    answer: DefectsAnswer, noun: str, *, count: TokenCounter = clip_tokens
) -> Checked[tuple[NamedDefect, ...]]:
    """Four to fifteen kinds of defect, each named once. Raises UnusableAnswerError if fewer are usable."""
    ledger = Ledger()
    kept: dict[str, NamedDefect] = {}
    for defect in answer.defects:
        name = _name(defect.name, noun, ledger)
        if name is None:
            continue
        if name in kept:
            ledger.left_out("defects", "named before", defect.name)
            continue
        if not defect.severity:
            ledger.mended("defects", "severity unknown", defect.name)
        kept[name] = NamedDefect(name, _phrases(defect, name, noun, ledger, count), defect.severity)
    names = at_most(list(kept), MOST_DEFECTS, "defects", ledger)
    require(len(names), LEAST_DEFECTS, "defects", ledger)
    return Checked(tuple(kept[name] for name in names), ledger.sentences())


def _name(text: str, noun: str, ledger: Ledger) -> str | None:
    """One to three words without the product; None if no name of a defect is left."""
    plain = clean(text)
    if plain is None or speaks_to_a_model(plain):
        ledger.left_out("defects", "no English words" if plain is None else "an order instead of a name")
        return None
    name = _DEFECT_ARTICLE.sub("", plain)
    if mentions(name, noun):
        name = _DANGLING.sub("", without(name, noun))
        if name:
            ledger.mended("defects", f"the {noun} not named again", text)
    if not name or not is_noun(name) or set(words_of(name.replace("-", " "))) <= _NO_DEFECT:
        ledger.left_out("defects", "no defect in one to three words", text)
        return None
    if says_good(name, noun):
        ledger.left_out("defects", "describes a good part", text)
        return None
    return name


def _phrases(
    defect: DefectAnswer, name: str, noun: str, ledger: Ledger, count: TokenCounter
) -> tuple[str, ...]:
    """At most five short descriptions; the name itself if none is usable."""

    def objection(phrase: str) -> str | None:
        if len(words_of(phrase)) > 15 or not fits(phrase, count):
            return "too long"
        return "describes a good part" if says_good(phrase, noun) else None

    phrases = without_objections(cleaned(defect.phrases, "phrases", ledger), "phrases", ledger, objection)
    if not phrases:
        ledger.mended("defects", "described by their name alone", defect.name)
        return (name,)
    return tuple(at_most(phrases, MOST_PHRASES, "phrases", ledger))


@dataclass(frozen=True, slots=True)
class Sides:
    """Descriptions of good and of bad parts that passed their checks."""

    normal: tuple[str, ...]
    anomalous: tuple[str, ...]


def checked_prompts(
    answer: PromptsAnswer,
    noun: str,
    *,
    least: int = LEAST_PROMPTS,
    most: int = MOST_PROMPTS,
    count: TokenCounter = clip_tokens,
) -> Checked[Sides]:
    """Descriptions that name the product, fit into CLIP and match their list.

    "the object" becomes the noun, which is safe. A text in both lists is dropped from both, since its meaning
    is unknown.

    Raises:
        UnusableAnswerError: fewer than ``least`` are left of a side.
    """
    ledger = Ledger()
    sides = {
        side: _naming_product(cleaned(texts, side_name, ledger), side_name, noun, ledger, count)
        for side, side_name, texts in (
            ("normal", "normal prompts", answer.normal),
            ("anomalous", "anomalous prompts", answer.anomalous),
        )
    }
    return reconciled(sides["normal"], sides["anomalous"], noun, ledger, least=least, most=most)


def reconciled(
    normal: list[str], anomalous: list[str], noun: str, ledger: Ledger, *, least: int, most: int
) -> Checked[Sides]:
    """Two lists without texts that contradict their own list or occur in both.

    Raises UnusableAnswerError if fewer than ``least`` are left of a side.
    """
    both = set(normal) & set(anomalous)
    for text in sorted(both):
        ledger.left_out("prompts", "in both lists", text)
    normal = without_objections(
        (text for text in normal if text not in both),
        "normal prompts",
        ledger,
        lambda text: "describes damage" if says_bad(text, noun) else None,
    )
    anomalous = without_objections(
        (text for text in anomalous if text not in both),
        "anomalous prompts",
        ledger,
        lambda text: "describes a good part" if says_good(text, noun) else None,
    )
    normal = at_most(normal, most, "normal prompts", ledger)
    anomalous = at_most(anomalous, most, "anomalous prompts", ledger)
    require(len(normal), least, "normal prompts", ledger)
    require(len(anomalous), least, "anomalous prompts", ledger)
    return Checked(Sides(tuple(normal), tuple(anomalous)), ledger.sentences())


def _naming_product(texts: list[str], what: str, noun: str, ledger: Ledger, count: TokenCounter) -> list[str]:
    """Texts that name the product, by its noun or the noun's head, and fit into CLIP, each once."""
    head = words_of(noun)[-1]
    named: dict[str, None] = {}
    for text in texts:
        full = text
        if not mentions(text, head) and _STAND_IN.search(text):
            full = _STAND_IN.sub(noun, text, count=1)
            ledger.mended(what, f"the {noun} named", text)
        named[full] = None

    def objection(text: str) -> str | None:
        if not mentions(text, head):
            return f"no {noun} in it"
        if not 2 <= len(words_of(text)) <= _PROMPT_WORDS:
            return f"not 2 to {_PROMPT_WORDS} words"
        return None if fits(text, count) else "longer than CLIP reads"

    return without_objections(named, what, ledger, objection)


def checked_agnostic(answer: PromptsAnswer, *, least: int = 1, most: int = 40) -> Checked[Sides]:
    """Descriptions of 4 to 13 words without digits and without a product of the tagger's vocabulary.

    Raises UnusableAnswerError if fewer than ``least`` are left of a side.
    """
    ledger = Ledger()
    normal, anomalous = (
        without_objections(cleaned(texts, what, ledger), what, ledger, _description_objection)
        for what, texts in (("normal prompts", answer.normal), ("anomalous prompts", answer.anomalous))
    )
    return reconciled(normal, anomalous, "object", ledger, least=least, most=most)


def _description_objection(text: str) -> str | None:
    if re.search(r"\d", text):
        return "a number in it"
    if not SHORTEST_AGNOSTIC <= len(words_of(text)) <= LONGEST_AGNOSTIC:
        return f"not {SHORTEST_AGNOSTIC} to {LONGEST_AGNOSTIC} words"
    return "names a product" if named_products(_NOT_PRODUCTS).search(text) else None
