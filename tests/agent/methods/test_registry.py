"""The choice of methods: each is built once, and one that cannot be built says why every time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from agent.domain.errors import ModelError
from agent.domain.recipe import template_recipe
from agent.methods import MethodRegistry
from agent.methods.null import Null
from agent.methods.prepared import Method


def test_a_method_is_built_once_however_many_ask_at_a_time() -> None:
    built: list[str] = []

    def build(name: str) -> Method:
        built.append(name)
        return Null()

    methods = MethodRegistry("a", build)
    with ThreadPoolExecutor(8) as askers:
        found = list(askers.map(methods.get, ["a", "b"] * 20))
    assert sorted(built) == ["a", "b"]
    assert len({id(method) for method in found}) == 2


def test_a_method_that_cannot_be_built_is_not_tried_with_every_frame() -> None:
    tries = []

    def build(name: str) -> Method:
        tries.append(name)
        raise ModelError("the weights are not there; run: sightline models pull")

    methods = MethodRegistry("a", build)
    for _ in range(3):
        with pytest.raises(ModelError, match="models pull"):
            methods.get("a")
    assert tries == ["a"]


def test_a_single_method_scores_whatever_a_recipe_names() -> None:
    null = Null()
    assert MethodRegistry.only(null, "null").of(template_recipe("A", "fade")) is null
