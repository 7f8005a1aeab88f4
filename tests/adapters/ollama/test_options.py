"""OllamaOptions: from the configuration to what is asked."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from adapters.ollama import OllamaOptions
from agent.domain.errors import ConfigurationError
from config import Settings, load
from config.sections.ollama import OllamaSettings


def test_the_defaults_of_both_agree() -> None:
    assert OllamaOptions.of(Settings().ollama) == OllamaOptions()


def test_every_key_arrives() -> None:
    changed = OllamaSettings(
        url="http://other:1", model="m", vision_model="v", timeout_s=1, budget_s=2, load_timeout_s=3, tries=4,
        seed=5, think="off", temperature=0, top_p=0.1, num_ctx=2048, num_predict=256,
        keep_alive=timedelta(minutes=5),
    )  # fmt: skip
    assert OllamaOptions.of(changed) == OllamaOptions(
        "http://other:1", "m", "v", 1, 2, 3, 4, 5, "off", 0, 0.1, 2048, 256, keep_alive_s=300
    )


@pytest.mark.parametrize(
    ("written", "meant"), [("on", "on"), ("off", "off"), ("auto", "auto"), ('"on"', "on"), ("true", "on")]
)
def test_on_and_off_need_no_quotes(tmp_path: Path, written: str, meant: str) -> None:
    file = tmp_path / "sightline.yaml"
    file.write_text(f"ollama:\n  think: {written}\n")
    assert load(file).settings.ollama.think == meant


@pytest.mark.parametrize("enabled", [True, False, "auto"])
def test_enabled_is_a_truth_value_or_auto(enabled: bool | str) -> None:
    assert load(overrides=[f"ollama.enabled={str(enabled).lower()}"]).settings.ollama.enabled == enabled


@pytest.mark.parametrize(
    "setting", ["think=maybe", "enabled=perhaps", "tries=0", "seed=-1", "timeout_s=0", "model="]
)
def test_nonsense_is_refused_by_name(setting: str) -> None:
    with pytest.raises(ConfigurationError, match=f"ollama.{setting.partition('=')[0]}"):
        load(overrides=[f"ollama.{setting}"])
