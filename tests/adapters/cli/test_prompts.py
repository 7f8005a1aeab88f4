"""``sightline prompts write``: object-agnostic descriptions asked of a language model."""

from __future__ import annotations

import json

from agent.methods.prompt_library import load_prompts
from tests.adapters.cli.conftest import CommandLine
from tests.support.ollama_server import DIGEST, MODEL, OllamaServer, Say


def test_descriptions_are_asked_for_in_chunks_and_fit_prompts(sightline: CommandLine) -> None:
    with OllamaServer() as ollama:
        done = sightline(
            "prompts", "write", "--count", "25", "--out", "words.json", "--set", f"ollama.url={ollama.url}"
        )
        assert len(ollama.chats) >= 2
    assert "normal descriptions" in done.output
    written = json.loads((sightline.folder / "words.json").read_text())
    assert (written["model"], written["digest"]) == (MODEL, DIGEST)
    prompts = load_prompts(sightline.folder / "words.json")
    assert list(prompts.normal) == written["normal"]
    assert list(prompts.anomalous) == written["anomalous"]
    assert len(prompts.normal) > 20


def test_a_model_that_talks_nonsense_writes_no_file(sightline: CommandLine) -> None:
    with OllamaServer(otherwise=lambda asked: Say("la la la")) as ollama:
        sightline("prompts", "write", "--out", "words.json", "--set", f"ollama.url={ollama.url}", code=1)
    assert not (sightline.folder / "words.json").exists()


def test_another_suffix_is_refused(sightline: CommandLine) -> None:
    refused = sightline("prompts", "write", "--out", "words.txt", code=1)
    assert "should end in .json" in refused.stderr
