"""The sections about references and drift: what they refuse, and what methods get of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.domain.errors import ConfigurationError
from agent.methods import METHODS
from agent.methods.parameters import override
from config import Settings, load, show


def test_nothing_is_changed_by_default() -> None:
    settings = load().settings
    assert settings.references.parameters == {}
    assert settings.references.rotations == "auto"
    assert settings.references.directions == 16, "the profile's own: a few loose references show more so"
    assert Settings().references.directions == 8
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
    taken = override(METHODS[method].preset, parameters)
    assert taken.angles == (0.0, 90.0, 180.0), "the reference as it is stands first"
    assert taken.brightness == (1.0, 0.9)
    assert taken.bank_limit == 512


@pytest.mark.parametrize(
    ("written", "read"), [("auto", "auto"), ("[]", []), ("[90]", [90.0]), ('"auto"', "auto")]
)
def test_rotations_are_a_word_or_degrees(written: str, read: str | list[float], tmp_path: Path) -> None:
    chosen = load(overrides=[f"references.rotations={written}"])
    assert chosen.settings.references.rotations == read
    file = tmp_path / "sightline.yaml"
    file.write_text(show(chosen.settings, chosen.sources))
    assert load(file).settings == chosen.settings
    file.write_text(f"references:\n  rotations: {written}\n")
    assert load(file).settings.references.rotations == read


@pytest.mark.parametrize("rotations", ["auto", "[]"])
def test_without_degrees_methods_turn_references_as_they_do(rotations: str) -> None:
    assert load(overrides=[f"references.rotations={rotations}"]).settings.references.parameters == {}


@pytest.mark.parametrize(
    ("override_", "sentence"),
    [
        ("references.brightness=[0]", "factors above 0"),
        ("references.rotations=[.inf]", "degrees"),
        (
            "references.rotations=sometimes",
            "rotations should be auto or a list of degrees, .*, not 'sometimes'",
        ),
        ("references.rotations=90", "rotations should be auto or a list of degrees, .*, not '90'"),
        ("references.directions=0", "references.directions"),
        ("references={directions: 32, brightness: [0.8, 0.9]}", "32 of them under 3 brightnesses"),
        ("references.outliers=hide", "references.outliers"),
        ("drift.minimum_frames=900", "minimum_frames should not exceed baseline_frames"),
        ("drift.shift=0", "drift.shift"),
    ],
)
def test_what_makes_no_sense_is_refused(override_: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as refused:
        load(overrides=[override_])
    assert str(refused.value).count(override_.partition("=")[0]) <= 2, "named once, with its place"
