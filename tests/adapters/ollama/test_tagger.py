"""OllamaTagger: a vision model names what images show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from adapters.ollama import OllamaOptions, OllamaTagger
from agent.domain.errors import ModelError
from tests.support.ollama_server import MODEL, OllamaServer, Say, Slow

Options = Callable[..., OllamaOptions]
IMAGE = np.full((60, 80, 3), 90, np.uint8)


@pytest.fixture
def seeing(ollama: OllamaServer) -> OllamaServer:
    ollama.models["llava"] = ("completion", "vision")
    return ollama


def test_tags_come_from_the_model_that_sees(seeing: OllamaServer, options: Options) -> None:
    assert OllamaTagger(options(vision_model="llava")).tags(IMAGE, 2) == ("gear", "metal part")
    (asked,) = seeing.chats
    assert asked.body["model"] == "llava"
    assert len(asked.body["messages"][-1]["images"]) == 1


def test_the_same_model_where_it_can_see(ollama: OllamaServer, options: Options) -> None:
    ollama.models[MODEL] = ("completion", "vision")
    assert OllamaTagger(options()).tags(IMAGE, 1) == ("gear",)


def test_a_model_that_cannot_see_is_not_asked(ollama: OllamaServer, options: Options) -> None:
    with pytest.raises(ModelError, match=r"takes no images; set ollama.vision_model"):
        OllamaTagger(options()).tags(IMAGE, 3)
    assert ollama.chats == []


def test_tags_are_checked_and_asked_for_again(seeing: OllamaServer, options: Options) -> None:
    seeing.script.extend(
        [Say({"tags": ["image", "https://x.y"]}), Say({"tags": ["A Gear", "gear", "42", "cog"]})]
    )
    assert OllamaTagger(options(vision_model="llava")).tags(IMAGE, 5) == ("gear", "cog")


def test_none_are_wanted(seeing: OllamaServer, options: Options) -> None:
    assert OllamaTagger(options(vision_model="llava")).tags(IMAGE, 0) == ()
    assert seeing.requests == []


def test_what_fails_is_a_model_error(seeing: OllamaServer, options: Options) -> None:
    seeing.script.append(Slow())
    with pytest.raises(ModelError, match="did not answer within"):
        OllamaTagger(options(vision_model="llava", tries=1, timeout_s=0.2)).tags(IMAGE, 3)
    seeing.stop()
    with pytest.raises(ModelError, match="ollama serve"):
        OllamaTagger(options(vision_model="llava")).tags(IMAGE, 3)
