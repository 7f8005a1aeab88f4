"""``KeptMemories``: recipes prepared from memories that were kept; without, from their references."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from agent.domain.form import ReferenceForm
from agent.domain.frame import Image
from agent.domain.recipe import Recipe
from agent.inference.inspector import Inspector
from agent.inference.tiled import TiledPrepared, tiling_of
from agent.methods.memory_state import banks_of, tensors_of
from agent.methods.prepared import Prepared, PreparedRecipe
from agent.ports import KeptTensors

_FORM = "form"


class KeptMemories:
    """The memory of a recipe by its references, regions and tiles, and by what its method says
    (:class:`agent.methods.memory_state.Memorising`).

    Another threshold, other words or another name leave it as it is. So does an older version that becomes
    the active one again.
    """

    def __init__(self, inspector: Inspector, kept: KeptTensors | None = None) -> None:
        """``kept``: where memories outlive the process; None: nowhere."""
        self._inspector = inspector
        self._kept = kept

    def prepare(self, recipe: Recipe, references: Sequence[Image], like: Prepared | None = None) -> Prepared:
        """The recipe prepared. ``references`` are read if no memory was kept.

        Args:
            like: another version, whose memory may serve.

        Raises RecipeError, ModelError; RuntimeError or ValueError as the method gives it.
        """
        key = self._key(recipe)
        if key is None:
            return self._inspector.prepare(recipe, references)
        if isinstance(like, PreparedRecipe | TiledPrepared) and key == self._key(like.recipe):
            return self._inspector.prepare_with(recipe, like.memory, like.form)
        found = None if self._kept is None else self._kept.get(key)
        if found is not None and _FORM in found:
            return self._inspector.prepare_with(recipe, banks_of(found), _form_of(found[_FORM]))
        prepared = self._inspector.prepare(recipe, references)
        self.keep(prepared)
        return prepared

    def keep(self, prepared: Prepared) -> None:
        """Keep the memory of a recipe that is stored as it was prepared."""
        key = self._key(prepared.recipe)
        if key is None or self._kept is None or not isinstance(prepared, PreparedRecipe | TiledPrepared):
            return
        if prepared.form is not None and prepared.memory:
            self._kept.put(key, {**tensors_of(prepared.memory), _FORM: _written(prepared.form)})

    def _key(self, recipe: Recipe) -> str | None:
        """None for a recipe without references, and for methods that keep no memory."""
        method = self._inspector.memory_key(recipe) if recipe.references else None
        if method is None:
            return None
        tiling, references = tiling_of(recipe.parameters), [one.sha256 for one in recipe.references]
        tiles = [] if tiling.grid.count == 1 else [tiling.tiles, tiling.tile_overlap, tiling.tile_memory]
        regions = recipe.regions.digest if recipe.regions else ""
        return hashlib.sha256(json.dumps([method, regions, tiles, references]).encode()).hexdigest()


def _written(form: ReferenceForm) -> torch.Tensor:
    content = json.dumps({**asdict(form), "tints": form.tints.hex()})
    return torch.tensor(list(content.encode()), dtype=torch.uint8)


def _form_of(written: torch.Tensor) -> ReferenceForm:
    values: Mapping[str, Any] = json.loads(bytes(written.tolist()))
    return ReferenceForm(
        count=values["count"],
        sizes=tuple((width, height) for width, height in values["sizes"]),
        chroma=tuple(values["chroma"]),
        light=tuple(values["light"]),
        sharpness=tuple(values["sharpness"]),
        tints=bytes.fromhex(values["tints"]),
    )
