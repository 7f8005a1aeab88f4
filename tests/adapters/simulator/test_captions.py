"""Captions name the product and its true state."""

from dataclasses import replace

import numpy as np
import pytest

from adapters.simulator import FAMILIES, Product, Station, captions, draw
from adapters.simulator.captions import ANOMALOUS, CLAIMED, GENERIC_NOUNS, SURFACE_NOUNS, SYNONYMS


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_captions_name_the_product_and_its_state(name: str) -> None:
    family = FAMILIES[name]
    product = Product.create(name, 1)
    nouns = (family.noun, *family.synonyms, *GENERIC_NOUNS, *SURFACE_NOUNS)
    rng = np.random.Generator(np.random.PCG64(3))
    good = captions(draw(product, Station.fixed(0), 0, size=64), rng, 60)
    bad = captions(draw(product, Station.fixed(0), 0, defect=family.defects[0], size=64), rng, 60)
    assert all(any(noun in line for noun in nouns) for line in good + bad)
    for line in good:
        assert "undamaged" in line or not any(
            f" {word} " in f" {line} " for word in ("damaged", "defective", "broken")
        )
    for line in bad:
        assert not any(f" {word} " in f" {line} " for word in ("flawless", "perfect", "intact", "undamaged"))
    assert len(set(good)) > 30
    assert len(set(bad)) > 30


def test_a_defect_is_called_by_its_own_names_only() -> None:
    image = draw(Product.create("wood_board", 1), Station.fixed(0), 0, defect="scratch", size=64)
    rng = np.random.Generator(np.random.PCG64(3))
    lines = captions(image, rng, 200)
    assert any("scratch" in line for line in lines)
    assert not any("stain" in line or "crack" in line for line in lines)


def test_a_defect_that_can_hardly_be_seen_is_not_spoken_of() -> None:
    drawn = draw(Product.create("gear", 1), Station.fixed(0), 0, defect="scratch", size=64)
    hidden, plain = replace(drawn, visibility=CLAIMED - 0.01), replace(drawn, visibility=CLAIMED)
    rng = np.random.Generator(np.random.PCG64(3))
    lines = captions(hidden, rng, 300)
    states = ("scratch", "scuff", "damage", "defect", "flaw", "broken", "good", "perfect", "intact", "normal")
    assert not any(word in line for line in lines for word in states)
    assert len(set(lines)) > 60
    assert any("scratch" in line for line in captions(plain, rng, 100))


def test_captions_depend_on_the_generator_alone() -> None:
    image = draw(Product.create("gear", 1), Station.fixed(0), 0, size=64)
    first, again = (captions(image, np.random.Generator(np.random.PCG64(5)), 20) for _ in range(2))
    assert first == again


def test_wordings_are_many() -> None:
    assert len(ANOMALOUS) >= 15
    assert all(len(words) >= 3 for words in SYNONYMS.values())
