"""Health of the Ollama server: what it has, and the sentence for what it lacks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from adapters.ollama import OllamaOptions, Readiness, look
from adapters.ollama.client import OllamaClient
from adapters.ollama.errors import ServerError
from tests.support.ollama_server import DIGEST, MODEL, OllamaServer, Status

Options = Callable[..., OllamaOptions]


def test_a_server_with_its_model_is_ready(ollama: OllamaServer, options: Options) -> None:
    health = look(options())
    assert health.ready
    assert health.model is not None
    assert (health.model.name, health.model.digest, health.version) == (MODEL, DIGEST, "0.13.5")
    assert health.sentence == (
        f"Ollama 0.13.5 at {ollama.url} has {MODEL} (completion, tools), digest {DIGEST[:12]}"
    )
    assert {asked.path for asked in ollama.requests} == {"/api/version", "/api/tags", "/api/show"}, (
        "no model runs"
    )


@pytest.mark.parametrize(
    ("listed", "asked", "there"),
    [
        ("llama3:latest", "llama3", True),
        ("llama3:8b", "llama3", False),
        ("llama3:8b", "LLAMA3:8B", True),
        ("hf.co/someone/model:latest", "hf.co/someone/model", True),
        ("hub.example:5000/model:latest", "hub.example:5000/model", True),
    ],
)
def test_a_name_without_a_tag_is_the_latest(
    ollama: OllamaServer, options: Options, listed: str, asked: str, there: bool
) -> None:
    ollama.models = {listed: ()}
    health = look(options(model=asked))
    assert (health.model is not None) is there
    if not there:
        assert health.readiness is Readiness.NO_MODEL
        assert health.sentence == f"{ollama.url} lacks the model; run: ollama pull {asked}"


def test_nobody_there(ollama: OllamaServer, options: Options) -> None:
    ollama.stop()
    health = look(options())
    assert health.readiness is Readiness.AWAY
    assert "start it with `ollama serve`" in health.sentence


def test_somebody_else_there(ollama: OllamaServer, options: Options) -> None:
    health = look(options(url=f"{ollama.url}/elsewhere"))
    assert health.readiness is Readiness.FAILING
    assert "check ollama.url" in health.sentence


def test_a_second_model_has_to_see(ollama: OllamaServer, options: Options) -> None:
    assert "ollama pull llava" in look(options(vision_model="llava")).sentence
    ollama.models["llava"] = ("completion",)
    assert "llava takes no images" in look(options(vision_model="llava")).sentence
    ollama.models["llava"] = ("completion", "vision")
    assert look(options(vision_model="llava")).ready


def test_a_server_that_fails_is_one_sentence_with_the_reason(ollama: OllamaServer, options: Options) -> None:
    ollama.script.append(Status(500, "out of\n memory\x1b[31m" + "!" * 1000))
    client = OllamaClient(options())
    with pytest.raises(ServerError, match=r"error \(500\): out of memory \[31m!!!") as failed:
        client.chat(client.model(), [{"role": "user", "content": "hello"}], {}, seed=0)
    assert len(str(failed.value)) < 400
    assert str(failed.value).isprintable()


def test_a_proxy_is_not_for_this_machine(
    ollama: OllamaServer, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert look(options()).ready
    assert look(options(url=ollama.url.replace("127.0.0.1", "localhost"))).ready
    assert not look(options(url="http://ollama.invalid:11434")).ready
