"""Every method keeps what its entry in ``METHODS`` promises."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.recipe import Parameter, Reference, template_recipe
from agent.methods.registry import METHODS, TITLES, MethodModels, MethodSpec, find_method
from agent.ports import WindowFeatures, WindowPass
from tests.support.detectors import FillingSegmenter, WrittenDetector, WrittenTagger
from tests.support.encoders import ColourEncoder
from tests.support.images import part

SMALL: dict[str, dict[str, Parameter]] = {
    "fade": {"scales": [64], "map_size": 8},
    "sightline": {"scales": [64], "map_size": 8},
    "winclip": {"size": 64},
    "anomaly-dino": {"size": 64},
}
"""Parameters that make a method quick; one that is not here runs with its preset."""


class WindowedEncoder(ColourEncoder):
    """Sees windows too, as WinCLIP needs them: the whole image is the only one of each size."""

    def encode_windows(self, images: Sequence[Image], size: int, sides: Sequence[int]) -> WindowPass:
        features = self.encode_images(images, size)
        grid = features.patches.shape[1] * features.patches.shape[2]
        every = torch.arange(grid)[None]
        windows = tuple(WindowFeatures(features.image[:, None], every) for _ in sides)
        return WindowPass(features.image, F.normalize(features.patches, dim=-1), windows)


ALL = MethodModels(
    encoder=WindowedEncoder(),
    backbone=ColourEncoder(seed=1),
    detector=WrittenDetector({}),
    segmenter=FillingSegmenter(),
    tagger=WrittenTagger(("gear",)),
)

each_method = pytest.mark.parametrize("spec", METHODS.values(), ids=lambda spec: spec.name)


def only(roles: frozenset[str]) -> MethodModels:
    return MethodModels(**{role: getattr(ALL, role) for role in roles})


def test_titles_and_models_name_the_same_roles() -> None:
    assert set(TITLES) == {field.name for field in dataclasses.fields(MethodModels)}
    assert [spec.name for spec in METHODS.values()] == list(METHODS)


@each_method
def test_a_preset_is_frozen_and_holds_what_a_recipe_can_hold(spec: MethodSpec) -> None:
    preset = spec.preset
    assert type(preset).__dataclass_params__.frozen
    values = {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(preset).items()}
    assert spec.parameters(values) == preset, "as JSON and YAML give them back"
    with pytest.raises(RecipeError, match="no parameter"):
        spec.parameters({"no such": 1})


@each_method
def test_a_method_is_built_of_what_it_needs_and_of_nothing_less(spec: MethodSpec) -> None:
    assert not spec.needs & spec.takes
    assert spec.build(only(spec.needs)).digest
    for role in spec.needs:
        with pytest.raises(RecipeError, match=f"method '{spec.name}' needs {TITLES[role]}"):
            spec.build(only(spec.needs - {role}))


@each_method
def test_a_method_uses_what_it_takes_and_nothing_that_it_does_not_name(spec: MethodSpec) -> None:
    named = spec.build(only(spec.needs | spec.takes))
    assert named.fingerprint == spec.build(ALL).fingerprint
    for role in spec.takes - {"segmenter"}:  # outlines come after the threshold: no score depends on them
        assert spec.build(only(spec.needs | spec.takes - {role})).fingerprint != named.fingerprint


@each_method
def test_a_method_scores_with_as_few_references_as_it_says(spec: MethodSpec) -> None:
    method = spec.build(ALL, SMALL.get(spec.name))
    for count in range(3):
        images = [part(seed) for seed in range(count)]
        names = [f"{seed:064d}" for seed in range(count)]
        recipe = template_recipe("A", spec.name, "gear")
        recipe = replace(recipe, references=tuple(Reference(name, name, name) for name in names))
        scored = method.score([part(9)], [method.prepare(recipe, images)])[0]
        assert np.isfinite(scored.score) == (count >= spec.fewest_references)
        assert (scored.lacking is None) == (count >= spec.fewest_references)


def test_an_unknown_method_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(RecipeError, match="no method 'magic'; known are fade, sightline"):
        find_method("magic")


def test_methods_are_listed_without_pytorch() -> None:
    script = "import sys; import agent.methods; sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
