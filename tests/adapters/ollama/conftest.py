"""A scripted Ollama for each test, and products that have names."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from adapters.ollama import OllamaOptions, OllamaWriter
from agent.ports import Brief
from tests.support.ollama_server import OllamaServer

GEAR = Brief("4711", name="Steel gear", description="A small gear of a window lifter, about 3 cm wide.")


@pytest.fixture
def ollama() -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        yield server


@pytest.fixture
def options(ollama: OllamaServer) -> Callable[..., OllamaOptions]:
    """Options for the server; a minute is more than any answer here takes."""

    def build(**changes: object) -> OllamaOptions:
        return OllamaOptions(**{"url": ollama.url, **changes})  # type: ignore[arg-type]

    return build


@pytest.fixture
def writer(options: Callable[..., OllamaOptions]) -> Callable[..., OllamaWriter]:
    return lambda **changes: OllamaWriter(options(**changes))
