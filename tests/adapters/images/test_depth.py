"""Bit depth: values of 8 to 16 bits in PNG with 16 bits a channel, the same scale for a camera for ever."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from adapters.images.camera_depths import CameraDepths
from adapters.images.codec import CvImageCodec
from adapters.images.decoder import PayloadDecoder
from adapters.images.depth import DEPTHS, KnownDepth, count_levels, stated_bits, with_stated_bits
from adapters.images.pixels import InProcessReader, PixelReader, decode_pixels
from adapters.images.worker import DecodeWorker
from agent.domain.events import Event
from tests.adapters.images.test_decoder import CAMERA, delivery

MANY = 10**8
LEVELS = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
LEVELS[0, 0] = 255


class Reported:
    """Takes events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def report(self, event: Event) -> None:
        self.events.append(event)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


def deep(levels: NDArray[np.uint8], bits: int, channels: int = 3, *, upper: bool = False) -> bytes:
    """8-bit levels as a PNG of 16 bits whose values have ``bits``, in the lower or in the upper ones."""
    values = levels.astype(np.uint16) << (bits - 8) | levels.astype(np.uint16) >> (16 - bits)
    if upper:
        values <<= 16 - bits
    if channels == 1:
        values = values[..., 1]
    elif channels == 4:
        values = np.dstack([values, np.full(values.shape[:2], 65535, np.uint16)])
    return cv2.imencode(".png", values)[1].tobytes()


def expected(levels: NDArray[np.uint8], channels: int = 3) -> NDArray[np.uint8]:
    if channels == 1:
        return np.repeat(levels[..., 1:2], 3, axis=2)
    return levels[..., ::-1]  # OpenCV writes blue first


@pytest.fixture(scope="module", params=["here", "process"])
def pixels(request: pytest.FixtureRequest) -> Iterator[PixelReader]:
    if request.param == "here":
        yield InProcessReader(MANY)
        return
    if not DecodeWorker.supported():
        pytest.skip("decodes in process here")
    with DecodeWorker(MANY) as worker:
        yield worker


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_values_in_the_lower_bits_are_like_eight_bits(pixels: PixelReader, bits: int, channels: int) -> None:
    header, image = pixels(deep(LEVELS, bits, channels))
    assert header.bits == bits
    assert np.array_equal(image, expected(LEVELS, channels))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_full_bits_are_as_opencv_has_them(channels: int) -> None:
    content = deep(LEVELS, 16, channels)
    plain = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert plain is not None
    assert np.array_equal(decode_pixels(content, MANY)[1], plain)


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("stated", ["png", "configuration"])
@pytest.mark.parametrize("bits", [9, 10, 11, 12, 14])
def test_stated_bits_are_honoured_wherever_the_values_lie(
    pixels: PixelReader, bits: int, stated: str, upper: bool
) -> None:
    content = deep(LEVELS, bits, upper=upper)
    if stated == "png":
        _, image = pixels(with_stated_bits(content, bits))
    else:
        _, image = pixels(content, KnownDepth(stated=bits))
    assert np.array_equal(image, expected(LEVELS))


def test_a_dark_image_that_states_its_bits_stays_dark(pixels: PixelReader) -> None:
    dark = LEVELS // 5
    assert np.array_equal(pixels(with_stated_bits(deep(dark, 12), 12))[1], expected(dark))


def test_a_dark_image_has_the_scale_of_its_camera() -> None:
    reported = Reported()
    decoder = PayloadDecoder(depths=CameraDepths(events=reported))
    dark = LEVELS // 5
    for levels in (LEVELS, dark, LEVELS, dark):
        frame = decoder.decode(delivery(deep(levels, 12)))
        assert np.array_equal(frame.image, expected(levels))
    assert reported.kinds() == ["bit-depth"]
    assert "12 bits" in reported.events[0].message
    assert "cameras.line-1/top.bits" in reported.events[0].message


def test_what_is_kept_of_a_dark_image_is_read_with_the_same_scale_without_its_camera() -> None:
    decoder, dark = PayloadDecoder(), LEVELS // 5
    bright, frame = (decoder.decode(delivery(deep(levels, 12))) for levels in (LEVELS, dark))
    assert bright.encoded == deep(LEVELS, 12), "what is clear by itself stays byte for byte"
    assert stated_bits(frame.encoded) == 12
    assert np.array_equal(CvImageCodec().decode(frame.encoded), frame.image)


def test_a_first_dark_image_and_brighter_ones_are_told_apart_and_reported() -> None:
    reported = Reported()
    decoder = PayloadDecoder(depths=CameraDepths(events=reported))
    decoder.decode(delivery(deep(LEVELS // 5, 12)))
    frame = decoder.decode(delivery(deep(LEVELS, 12)))
    assert np.array_equal(frame.image, expected(LEVELS))
    first, second = reported.events
    assert (first.details["bits"], second.details["bits"]) == (10, 12)
    assert (first.severity, second.severity) == ("info", "warning")
    assert "enroll references of that time again" in second.message


def test_what_was_found_before_a_restart_holds_and_is_not_reported_again() -> None:
    reported = Reported()
    decoder = PayloadDecoder(depths=CameraDepths(seen={str(CAMERA): 12}, events=reported))
    dark = LEVELS // 5
    assert np.array_equal(decoder.decode(delivery(deep(dark, 12))).image, expected(dark))
    assert reported.events == []


def test_bits_that_do_not_hold_the_values_are_reported() -> None:
    reported = Reported()
    depths = CameraDepths({"line-1/top": 10}, events=reported)
    frame = PayloadDecoder(depths=depths).decode(delivery(deep(LEVELS, 12, upper=True)))
    assert np.array_equal(frame.image, expected(LEVELS))
    assert "higher values than the 10 bits" in reported.events[0].message


def test_other_cameras_and_images_of_eight_bits_are_as_they_were() -> None:
    reported = Reported()
    decoder = PayloadDecoder(depths=CameraDepths({"line-9/other": 10}, events=reported))
    content = cv2.imencode(".png", LEVELS)[1].tobytes()
    frame = decoder.decode(delivery(content))
    assert frame.encoded == content
    assert np.array_equal(frame.image, expected(LEVELS))
    assert reported.events == []


def test_an_image_of_few_levels_is_judged_and_reported_once() -> None:
    reported = Reported()
    decoder = PayloadDecoder(depths=CameraDepths(events=reported))
    content = cv2.imencode(".png", LEVELS // 16 * 16)[1].tobytes()
    for _ in range(3):
        decoder.decode(delivery(content))
    assert reported.kinds() == ["few-levels"]
    assert "16 of 256 levels" in reported.events[0].message


@given(st.integers(1, 256), st.integers(1, 200), st.integers(1, 200))
def test_levels_are_counted(levels: int, height: int, width: int) -> None:
    image = (np.arange(height * width * 3) % levels).astype(np.uint8).reshape(height, width, 3)
    true = len(np.unique(image))
    assert count_levels(image) == true if true < 32 else count_levels(image) >= 32


@given(st.binary(max_size=6), st.integers(1, 16))
def test_any_statement_is_read_or_ignored(content: bytes, bits: int) -> None:
    png = deep(LEVELS[:4, :4], 12)
    chunk = b"sBIT" + content
    odd = png[:33] + len(content).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") + png[33:]
    usable = len(content) == 3 and all(1 <= each <= 16 for each in content)
    assert stated_bits(odd) == (max(content) if usable else None)
    again = with_stated_bits(odd, bits)
    assert stated_bits(again) == bits
    assert again.count(b"sBIT") == 1 or b"sBIT" in content
    assert decode_pixels(again, MANY)[1].shape == (4, 4, 3)


@given(st.integers(0, 16), st.integers(0, 16), st.integers(0, 16), st.one_of(st.none(), st.integers(1, 16)))
def test_every_value_fits_the_bits_that_are_read(
    highest: int, seen: int, configured: int, stated: int | None
) -> None:
    bits = KnownDepth(configured, seen).bits(highest, stated)
    assert bits >= highest
    assert bits >= seen
    if not configured and stated is None:
        assert bits in DEPTHS
