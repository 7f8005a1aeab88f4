"""PromptWriter: a language model that describes a new product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agent.domain.frame import Image
from agent.domain.prompts import PromptSet


@dataclass(frozen=True, slots=True)
class Brief:
    """What is known about a product before its prompts are written."""

    sku: str
    name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    """Words for the content of its first frames, the likeliest first."""
    images: tuple[Image, ...] = ()
    """Its first frames, for a model that takes images; others get none."""
    attempt: int = 0
    """How often it was described before in vain; another attempt asks with other seeds."""


@dataclass(frozen=True, slots=True)
class Description:
    """A product in words, as a language model wrote and the agent checked them."""

    noun: str
    """What the product is called in prompts."""
    nouns: tuple[str, ...]
    """What a detector may look for, the likeliest first; ``noun`` among them."""
    prompts: PromptSet
    """Its provenance names model, digest, seed and the hash of the instruction."""
    notes: tuple[str, ...] = ()
    """What was repaired or left out, a sentence each."""


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """The model that would write now."""

    name: str
    digest: str
    """Of its weights; the same name may stand for others later."""
    where: str
    """The server, for people."""


class PromptWriter(Protocol):
    """Writes the prompts of a new product. Never in the path of a frame."""

    def look(self) -> LanguageModel:
        """The model that would answer; nothing is generated. Raises WriterError: none would, and why."""
        ...

    def describe(self, brief: Brief) -> Description:
        """Ask, check, repair, ask again within its budget of tries and time.

        Raises:
            WriterError: nothing usable came. Its ``reason`` is a sentence for the recipe's row, ``again``
                whether a later try may succeed.
        """
        ...

    def close(self) -> None:
        """Cancel the request under way: its description ends with WriterError at once."""
        ...
