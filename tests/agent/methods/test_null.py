"""The null method passes everything and takes the configured time."""

from __future__ import annotations

import time

from agent.domain.recipe import template_recipe
from agent.domain.verdict import Verdict
from agent.inference.inspector import Inspector
from agent.methods import build_method
from tests.support.images import part


def test_everything_passes_without_a_model() -> None:
    method = build_method("null")
    prepared = method.prepare(template_recipe("A", "null"), ())
    results = Inspector(method).inspect([part(1), part(2)], [prepared, prepared])
    assert [one.verdict for one in results] == [Verdict.PASS, Verdict.PASS]
    assert all(one.mask is None and one.score == 0.0 for one in results)


def test_it_passes_for_every_recipe_it_is_lent_to() -> None:
    method = build_method("null")
    prepared = method.prepare(template_recipe("A", "null"), ())
    other = prepared.with_recipe(template_recipe("B", "null")).without({0})
    assert other.recipe.sku == "B"
    assert Inspector(method).inspect([part(1)], [other])[0].verdict is Verdict.PASS


def test_the_cost_is_paid_for_each_frame() -> None:
    method = build_method("null", parameters={"null_cost_ms": 5.0})
    prepared = method.prepare(template_recipe("A", "null"), ())
    started = time.monotonic()
    method.score([part(1)] * 4, [prepared] * 4)
    assert time.monotonic() - started >= 0.02
    assert method.score([], []) == []
