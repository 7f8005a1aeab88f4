"""Descriptions that name no product (FADE; METHODS section 6)."""

from __future__ import annotations

import re

from adapters.ollama.answers import PromptsAnswer
from adapters.ollama.checked import Checked, cleaned, sifted
from adapters.ollama.cleaning import words_of
from adapters.ollama.ledger import Ledger
from adapters.ollama.nouns import named_products
from adapters.ollama.prompts import Sides, settled

SHORTEST, LONGEST = 4, 13
"""Words of one description."""

# Of what a surface is made, what it bears, and words that are more often something else than a product.
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


def checked_agnostic(answer: PromptsAnswer, *, least: int = 1, most: int = 40) -> Checked[Sides]:
    """Descriptions of 4 to 13 words without digits and without a product of the tagger's vocabulary.

    Raises UnusableAnswerError where fewer than ``least`` are left of a side.
    """
    ledger = Ledger()
    normal, anomalous = (
        sifted(cleaned(texts, what, ledger), what, ledger, _objection)
        for what, texts in (("normal prompts", answer.normal), ("anomalous prompts", answer.anomalous))
    )
    return settled(normal, anomalous, "object", ledger, least=least, most=most)


def _objection(text: str) -> str | None:
    if re.search(r"\d", text):
        return "a number in it"
    if not SHORTEST <= len(words_of(text)) <= LONGEST:
        return f"not {SHORTEST} to {LONGEST} words"
    return "names a product" if named_products(_NOT_PRODUCTS).search(text) else None
