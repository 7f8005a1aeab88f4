"""The row of ``sightline check`` that looks for the language model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from adapters.cli.check import State, check_ollama
from config import Settings
from tests.support.ollama_server import MODEL, OllamaServer


@pytest.fixture
def ollama() -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        yield server


def settings(ollama: OllamaServer, **changes: Any) -> Settings:
    return Settings.model_validate({"ollama": {"url": ollama.url, **changes}})


def test_all_is_there(ollama: OllamaServer) -> None:
    finding = check_ollama(settings(ollama))
    assert finding.state is State.OK
    assert MODEL in finding.detail
    assert "digest 845dbda0ea48" in finding.detail


@pytest.mark.parametrize(("enabled", "state"), [("auto", State.WARNING), (True, State.FAILED)])
def test_a_missing_model_is_named_with_its_command(
    ollama: OllamaServer, enabled: bool | str, state: State
) -> None:
    finding = check_ollama(settings(ollama, enabled=enabled, model="mistral:7b"))
    assert finding.state is state
    assert "run: ollama pull mistral:7b; until then prompts are templates" in finding.detail


@pytest.mark.parametrize(("enabled", "state"), [("auto", State.WARNING), (True, State.FAILED)])
def test_nobody_answers(ollama: OllamaServer, enabled: bool | str, state: State) -> None:
    ollama.stop()
    finding = check_ollama(settings(ollama, enabled=enabled))
    assert finding.state is state
    assert "`ollama serve`" in finding.detail


def test_switched_off_nobody_is_asked(ollama: OllamaServer) -> None:
    assert check_ollama(settings(ollama, enabled=False)).state is State.OK
    assert ollama.requests == []
