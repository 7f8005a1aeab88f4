"""PayloadDecoder under fuzz: whatever comes is a frame or a FrameError with an id, nothing else."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.images.decoder import FrameLimits, PayloadDecoder
from adapters.images.header import HeaderError
from adapters.images.pixels import InProcessReader, PixelReader
from adapters.images.worker import DecodeWorker
from adapters.mqtt.codec import JsonMessageParser
from adapters.mqtt.messages import JsonCommandParser
from agent.domain.errors import FrameError, MessageError
from agent.domain.frame import MAX_SKU, Camera, Delivery, DeliveryKind
from agent.ports.commands import CommandError
from agent.telemetry import Counters
from tests.support.mutations import Message, mutated_messages, originals

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
CAMERA = Camera("factory", "line-1", "top")
LIMITS = FrameLimits(
    max_bytes=2_000_000,
    max_pixels=4_000_000,
    allowed_roots=(Path("/nonexistent"),),
    allowed_hosts=("camera.invalid",),
    timeout_s=1.0,
)


@pytest.fixture(scope="module")
def counters() -> Counters:
    return Counters()


@pytest.fixture(scope="module")
def pixels(counters: Counters) -> Iterator[PixelReader]:
    """The real one of the agent, where this system has it."""
    if not DecodeWorker.supported():
        yield InProcessReader(LIMITS.max_pixels)
        return
    with DecodeWorker(LIMITS.max_pixels, 20.0, counters) as worker:
        yield worker


def sent(message: Message) -> Delivery:
    payload, properties, content_type = message
    return Delivery(
        DeliveryKind.FRAME, CAMERA, payload, NOW, properties=properties, content_type=content_type
    )


def decode_or_refuse(decoder: PayloadDecoder, one: Delivery) -> None:
    """What must hold of any message."""
    try:
        frame = decoder.decode(one)
    except FrameError as error:
        identity, reason = error.identity, error.reason
    else:
        identity, reason = frame.identity, "none"
        assert frame.image.dtype == np.uint8
        assert frame.image.size <= 3 * LIMITS.max_pixels
    assert 0 < len(reason) < 700
    assert reason.isprintable()
    assert identity == decoder.identify(one)
    assert 0 < len(identity.frame_id) <= 255
    assert identity.frame_id.isprintable()
    assert identity.sku is None or (len(identity.sku) <= MAX_SKU and identity.sku.isprintable())
    assert identity.sequence is None or 0 <= identity.sequence < 2**63


def test_mutated_messages_between_good_ones(pixels: PixelReader, counters: Counters) -> None:
    decoder = PayloadDecoder(LIMITS, pixels, counters)
    good = itertools.cycle(originals())
    for number, message in enumerate(itertools.islice(mutated_messages(20_261_121), 400)):
        decode_or_refuse(decoder, sent(message))
        if number % 20 == 0:
            content = next(good)
            one = sent((content, {"frame_id": f"good-{number}"}, None))
            expected = InProcessReader(LIMITS.max_pixels)(content)[1]
            assert np.array_equal(decoder.decode(one).image, expected)
    assert counters.get("decoder_restarts") == 0


def test_the_same_seed_gives_the_same_messages() -> None:
    first, second, other = (list(itertools.islice(mutated_messages(seed), 60)) for seed in (1, 1, 2))
    assert first == second != other
    assert len({payload for payload, _, _ in first}) > 50
    for payload, properties, _ in first:
        assert len(payload) < 5_000_000
        for text in (*properties, *properties.values()):
            assert "\0" not in text
            assert len(text.encode()) < 65_536


def test_small_messages_of_any_form() -> None:
    """The same noise on the other topics."""
    for payload, properties, _ in itertools.islice(mutated_messages(5), 200):
        one = Delivery(DeliveryKind.JOB, CAMERA, payload, NOW, properties=properties)
        for parse in (JsonMessageParser().job, JsonMessageParser().feedback, JsonCommandParser().command):
            with contextlib.suppress(MessageError, CommandError):
                parse(one)


_IMAGES = st.sampled_from(originals())


@given(_IMAGES, _IMAGES, st.data())
def test_splices_of_images(first: bytes, second: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(2, len(first)))
    rest = data.draw(st.integers(0, len(second) - 1))
    try:
        header, image = InProcessReader(LIMITS.max_pixels)(first[:cut] + second[rest:])
    except HeaderError:
        return
    assert sorted(image.shape[:2]) == sorted((header.height, header.width))


_NAMES = st.sampled_from(["image", "image_ref", "sku", "frame_id", "part_id", "captured_at", "sequence"])
_TEXTS = st.text(max_size=40) | st.sampled_from(
    ["-1", "7", "9" * 19, "9" * 400, "1e5", "٣", "²", "2026-11-20"]
)


@given(st.binary(max_size=200) | _IMAGES, st.dictionaries(_NAMES, _TEXTS), st.none() | st.text(max_size=20))
def test_any_payload_with_any_properties(
    payload: bytes, properties: dict[str, str], kind: str | None
) -> None:
    decode_or_refuse(PayloadDecoder(LIMITS), sent((payload, properties, kind)))
