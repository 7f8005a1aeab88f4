"""The sections about references and drift: what they refuse, and what methods get of them."""

from __future__ import annotations

import pytest

from agent.errors import ConfigurationError
from agent.methods import PRESETS
from agent.methods.parameters import override
from config import load


def test_nothing_is_changed_by_default() -> None:
    settings = load().settings
    assert settings.references.parameters == {}
    assert settings.references.duplicates == "drop"
    assert settings.drift.enabled


@pytest.mark.parametrize("method", ["fade", "sightline", "winclip", "anomaly-dino"])
def test_variants_and_the_bank_reach_every_method_that_memorises_references(method: str) -> None:
    chosen = [
        "references.rotations=[90, 180]",
        "references.brightness=[0.9, 1]",
        "references.max_patches=512",
    ]
    parameters = load(overrides=chosen).settings.references.parameters
    taken = override(PRESETS[method], parameters)
    assert taken.angles == (0.0, 90.0, 180.0), "the reference as it is stands first"
    assert taken.brightness == (1.0, 0.9)
    assert taken.bank_limit == 512


@pytest.mark.parametrize(
    ("override_", "sentence"),
    [
        ("references.brightness=[0]", "factors above 0"),
        ("references.rotations=[.inf]", "degrees"),
        ("references.outliers=hide", "references.outliers"),
        ("drift.minimum_frames=900", "minimum_frames should not exceed baseline_frames"),
        ("drift.shift=0", "drift.shift"),
    ],
)
def test_what_makes_no_sense_is_refused(override_: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        load(overrides=[override_])
