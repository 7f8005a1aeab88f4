"""The row of ``sightline check`` that looks for the language model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.cli.checks import State, check_ollama
from agent.domain.errors import ConfigurationError
from config import Settings, contradictions
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


def test_a_server_that_is_too_old_is_named_with_both_versions(ollama: OllamaServer) -> None:
    ollama.version = "0.4.7"
    finding = check_ollama(settings(ollama, enabled=True))
    assert finding.state is State.FAILED
    assert "is version 0.4.7, and answers in a given form need 0.5 or later; update Ollama" in finding.detail


def test_the_key_comes_from_its_file_and_a_refusal_is_explained(ollama: OllamaServer, tmp_path: Path) -> None:
    ollama.key = "s3cret"
    file = tmp_path / "key"
    file.write_text("s3cret\n")
    assert check_ollama(settings(ollama, key_file=file)).state is State.OK
    assert (
        "wants a key (401); write it into a file and set ollama.key_file"
        in check_ollama(settings(ollama)).detail
    )
    file.write_text("other\n")
    refused = check_ollama(settings(ollama, key_file=file)).detail
    assert "refuses the key of ollama.key_file (401)" in refused
    assert "other" not in refused


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read"),
        ("", "is empty; write the key there"),
        ("schlüssel", "one line of plain ASCII text"),
    ],
)
def test_a_key_file_without_a_key(
    ollama: OllamaServer, tmp_path: Path, content: str | None, sentence: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=f"ollama.key_file: .*{sentence}"):
        check_ollama(settings(ollama, key_file=file))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"timeout_s": 400, "budget_s": 300}, "ollama.timeout_s (400) is above ollama.budget_s (300)"),
        ({"budget_s": 3600}, "add up to 3780 s, and onboarding.lease (900 s) leaves 810"),
        ({"num_ctx": 2048}, "ollama.num_ctx (2048) is less than the 2300 tokens"),
        (
            {"num_ctx": 4096},
            "ollama.num_predict (4096) leaves no room for a question in ollama.num_ctx (4096)",
        ),
    ],
)
def test_limits_that_do_not_fit_together_are_named(
    ollama: OllamaServer, changes: dict[str, Any], sentence: str
) -> None:
    finding = check_ollama(settings(ollama, **changes))
    assert finding.state is State.WARNING
    assert sentence in finding.detail


def test_a_key_without_encryption_is_named(ollama: OllamaServer, tmp_path: Path) -> None:
    remote = Settings.model_validate(
        {"ollama": {"url": "http://llm.plant:11434", "key_file": tmp_path / "key"}}
    )
    assert "travels to llm.plant without encryption; use https" in "".join(contradictions(remote))
    assert contradictions(settings(ollama, key_file=tmp_path / "key")) == []
    assert contradictions(Settings()) == []
    # A budget of before is no mistake: only a timeout that somebody wrote is named.
    assert contradictions(settings(ollama, budget_s=240)) == []


def test_switched_off_nobody_is_asked(ollama: OllamaServer) -> None:
    assert check_ollama(settings(ollama, enabled=False)).state is State.OK
    assert ollama.requests == []
