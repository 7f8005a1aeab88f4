"""``Memorising``: methods whose memory of references can be kept; ``memory_digest``: what it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any, Protocol, runtime_checkable

import torch

from agent.domain.recipe import Recipe
from agent.methods.memory import MemoryBank
from agent.methods.prepared import Prepared
from agent.methods.spread import Spread

_ARITHMETIC = 1
"""Raised whenever the same references give another memory: what was kept before is then made anew."""


@runtime_checkable
class Memorising(Protocol):
    """A method whose prepared recipes hold their references as memory banks alone.

    Prepared without references, a recipe has all else that it needs; the banks are added to it
    (:meth:`agent.methods.prepared.PreparedRecipe.with_memory`).
    """

    def memory_key(self, recipe: Recipe) -> str:
        """Digest of all that the banks depend on beside the references: weights, and those parameters that
        memory depends on. Raises RecipeError.
        """
        ...


@runtime_checkable
class Memorised(Prepared, Protocol):
    """A prepared recipe whose memory can be taken out and put back."""

    @property
    def memory(self) -> tuple[MemoryBank, ...]: ...

    def with_memory(self, recipe: Recipe, banks: Sequence[MemoryBank]) -> Memorised:
        """As :meth:`agent.methods.prepared.PreparedRecipe.with_memory`."""
        ...


def memory_digest(digest: str, parameters: Any, without: Collection[str], *more: object) -> str:
    """Of weights and parameters.

    Args:
        digest: of the weights.
        parameters: a dataclass.
        without: names of parameters that only scoring reads. All others count, also those to come: a memory
            that is made anew needlessly costs time, one that does not fit costs verdicts.
        more: what else the memory depends on.
    """
    values = {
        field.name: getattr(parameters, field.name)
        for field in fields(parameters)
        if field.name not in without
    }
    written = json.dumps([_ARITHMETIC, digest, sorted(values.items()), *more])
    return hashlib.sha256(written.encode()).hexdigest()


def tensors_of(banks: Sequence[MemoryBank]) -> dict[str, torch.Tensor]:
    """Banks as named tensors."""
    found: dict[str, torch.Tensor] = {}
    for number, bank in enumerate(banks):
        found[f"{number}.vectors"], found[f"{number}.owners"] = bank.vectors, bank.owners
        found[f"{number}.complete"] = torch.tensor(bank.complete)
        if bank.spread is not None:
            found[f"{number}.distances"] = bank.spread.distances
            found[f"{number}.others"] = bank.spread.others
    return found


def banks_of(tensors: Mapping[str, torch.Tensor]) -> tuple[MemoryBank, ...]:
    """The banks that :func:`tensors_of` has written."""
    banks: list[MemoryBank] = []
    while f"{len(banks)}.vectors" in tensors:
        number = len(banks)
        distances = tensors.get(f"{number}.distances")
        spread = None if distances is None else Spread(distances, tensors[f"{number}.others"])
        complete = bool(tensors[f"{number}.complete"])
        bank = MemoryBank(tensors[f"{number}.vectors"], tensors[f"{number}.owners"], complete, spread)
        banks.append(bank.with_index())
    return tuple(banks)
