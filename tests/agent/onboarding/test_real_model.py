"""The contract with a real language model: time, form and seeds. Its words are too weak to be judged."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator

import pytest

from adapters.ollama import OllamaOptions, OllamaWriter
from adapters.ollama.answers import NounsAnswer, schema_of
from adapters.ollama.client import OllamaClient
from adapters.ollama.instructions import NOUNS
from agent.domain.errors import WriterError
from agent.domain.frame import DeliveryKind
from agent.ports import OnboardingState
from tests.adapters.ollama.conftest import GEAR
from tests.support.factory import Rooms, wait_until
from tests.support.loopback import message
from tests.support.ollama_server import OllamaServer
from tests.support.plant import Plant, frame
from tests.support.real_model import RealModel, missing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(missing() is not None, reason=f"no real language model: {missing()}"),
]
BUDGET_S = 90.0


@pytest.fixture(scope="module")
def model() -> Iterator[RealModel]:
    with RealModel() as model:
        yield model


@pytest.fixture
def server(model: RealModel) -> Iterator[OllamaServer]:
    with OllamaServer(otherwise=model) as server:
        yield server


def test_it_ends_within_its_budget_and_keeps_to_the_form(server: OllamaServer, model: RealModel) -> None:
    before = len(model.answers)
    started = time.monotonic()
    with contextlib.suppress(WriterError):  # its words are too weak for most products
        found = OllamaWriter(OllamaOptions(url=server.url, budget_s=BUDGET_S, tries=1)).describe(GEAR)
        assert found.noun.endswith("gear")
    assert time.monotonic() - started < BUDGET_S + 10
    answered = model.answers[before:]
    assert answered
    for asked, answer in answered:
        if answer["done_reason"] == "stop":
            assert set(json.loads(answer["content"])) == set(asked.body["format"]["required"])


def test_seeds_matter(server: OllamaServer) -> None:
    client = OllamaClient(OllamaOptions(url=server.url, temperature=1.0, num_predict=40))
    asking = client.model()
    messages = NOUNS.messages({"name": "steel gear"})
    said = [client.chat(asking, messages, schema_of(NounsAnswer), seed=seed).content for seed in (1, 1, 2, 3)]
    assert said[0] == said[1]
    assert len(set(said)) > 1


def test_frames_keep_their_pace_meanwhile(server: OllamaServer, rooms: Rooms) -> None:
    writer = OllamaWriter(OllamaOptions(url=server.url, budget_s=BUDGET_S, tries=1))
    plant = Plant(rooms, writer=writer)
    plant.pipeline.start()
    try:
        job = message(DeliveryKind.JOB, json.dumps({"sku": "A", "name": "steel gear"}).encode())
        plant.inspected(job, frame(0))
        wait_until(lambda: server.chats, "the question")
        rows = plant.inspected(*(frame(seed) for seed in range(1, 21)))
        claim = rooms.claims.record("A")
        assert claim is not None
        assert claim.state is OnboardingState.CLAIMED, "the model still writes"
        assert len(rows) == 21
    finally:
        plant.pipeline.stop()
