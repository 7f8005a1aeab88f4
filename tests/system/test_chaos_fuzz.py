"""Garbage between good frames: every good one judged, nothing dead. Long form: ``make chaos``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.campaigns.fuzz import fuzz
from tests.chaos.messages import frames
from tests.chaos.plant import Plant
from tests.chaos.producer import Producer
from tests.support.chaos import play

pytestmark = [pytest.mark.slow, pytest.mark.system]


def test_garbage_on_every_topic(tmp_path: Path) -> None:
    result = play(fuzz, tmp_path, good=50, bad=500, growth=0.10)
    assert result.passed, str(result)
    assert result.figures["good frames judged"] == 50


def test_a_message_that_the_client_library_refuses_stops_nobody(tmp_path: Path) -> None:
    """mosquitto passes a zero-width no-break space in a user property on, as MQTT allows; paho does not."""
    good = list(frames(20, seed=1))
    poison = replace(good[0], key="poison", properties=(("frame_id", "a\ufeffb"), ("sku", "chaos")))
    with play(Plant, tmp_path) as plant:
        plant.start_agent()
        with Producer(plant.broker.url, [*good[:10], poison, *good[10:]]) as camera:
            assert camera.wait_acknowledged(21, 30)
            delivered = plant.customer.wait_for(
                lambda: {message.key for message in good} <= set(plant.customer.verdicts), 30
            )
        assert delivered, f"{len(plant.customer.verdicts)} of 20 good frames have a verdict"
