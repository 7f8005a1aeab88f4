"""PayloadDecoder: payloads become frames, or FrameErrors with an identity."""

from __future__ import annotations

import base64
import http.server
import io
import json
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

from adapters.images.decoder import FrameLimits, PayloadDecoder
from adapters.images.identity import parse_time
from agent.domain.errors import FrameError
from agent.domain.frame import Camera, Delivery, DeliveryKind, Frame, FrameIdentity
from agent.telemetry import Counters

CAMERA = Camera("factory", "line-1", "top")
NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)


def scene(height: int = 60, width: int = 90) -> np.ndarray:
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.convertScaleAbs(cv2.GaussianBlur(noise, (0, 0), 5), alpha=6.0, beta=-640.0)


def encode(image: Pillow.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


IMAGE = Pillow.fromarray(scene())
JPEG = encode(IMAGE, "JPEG", quality=92)
PNG = encode(IMAGE, "PNG")


def delivery(payload: bytes, **more: object) -> Delivery:
    return Delivery(DeliveryKind.FRAME, CAMERA, payload, NOW, **more)  # type: ignore[arg-type]


def decode(payload: bytes, limits: FrameLimits | None = None, **more: object) -> Frame:
    return PayloadDecoder(limits).decode(delivery(payload, **more))


def refusal(payload: bytes, limits: FrameLimits | None = None, **more: object) -> FrameError:
    with pytest.raises(FrameError) as caught:
        decode(payload, limits, **more)
    assert caught.value.reason
    assert caught.value.identity.frame_id
    assert caught.value.identity.camera == CAMERA
    return caught.value


def read_by_decode(decoder: PayloadDecoder, one: Delivery) -> FrameIdentity:
    try:
        return decoder.decode(one).identity
    except FrameError as error:
        return error.identity


def message(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


# -------------------------------------------------------------------------------------------- forms


@pytest.mark.parametrize(("content", "media_type"), [(JPEG, "image/jpeg"), (PNG, "image/png")])
@pytest.mark.parametrize("declared", [None, "image/jpeg", "application/octet-stream"])
def test_raw_with_user_properties(content: bytes, media_type: Any, declared: Any) -> None:
    properties = {"sku": "M8", "part_id": "p", "frame_id": "f", "captured_at": "2026-11-20T09:59:59"}
    frame = decode(content, content_type=declared, properties=properties)
    assert (frame.media_type, frame.encoded, frame.image.shape) == (media_type, content, (60, 90, 3))
    identity = frame.identity
    assert (identity.sku, identity.part_id, identity.frame_id) == ("M8", "p", "f")
    assert identity.captured_at == datetime(2026, 11, 20, 9, 59, 59, tzinfo=UTC)
    assert not identity.content_derived


@pytest.mark.parametrize("key", ["image", "image_base64", "img", "data", "frame"])
def test_json_with_base64_under_the_common_names(key: str) -> None:
    frame = decode(message(**{key: b64(PNG)}, sku=12, frame_id="f"))
    assert (frame.identity.sku, frame.identity.frame_id, frame.encoded) == ("12", "f", PNG)


def test_base64_may_be_a_data_url_or_have_line_breaks() -> None:
    assert decode(message(image="data:image/png;base64," + b64(PNG))).encoded == PNG
    assert decode(message(image=base64.encodebytes(JPEG).decode())).encoded == JPEG


def test_json_wins_over_user_properties_and_they_fill_its_gaps() -> None:
    frame = decode(message(image=b64(PNG), sku="A"), properties={"sku": "B", "part_id": "p"})
    assert (frame.identity.sku, frame.identity.part_id) == ("A", "p")


def test_without_an_id_equal_images_share_a_derived_one() -> None:
    first, second, other = decode(JPEG), decode(JPEG), decode(PNG)
    assert first.identity.content_derived
    assert first.identity.frame_id.startswith("h-")
    assert len(first.identity.frame_id) == 26
    assert first.identity.frame_id == second.identity.frame_id != other.identity.frame_id


@pytest.mark.parametrize(
    ("given_time", "expected"),
    [
        ("2026-11-20T12:00:00+02:00", NOW),
        ("2026-11-20 10:00:00", NOW),
        (NOW.timestamp(), NOW),
        (int(NOW.timestamp() * 1000), NOW),
        (int(NOW.timestamp() * 10**6), NOW),
        (int(NOW.timestamp() * 10**9), NOW),
        (f"{NOW.timestamp()}", NOW),
        (f" {NOW.timestamp():.0f}", NOW),
        (f"{NOW.timestamp():.0f},000", NOW),
        (f"{NOW.timestamp() * 1000:.0f}", NOW),
        (f"{NOW.timestamp() * 1e6:.0f}", NOW),
        (f"{NOW.timestamp() * 1e9:.0f}", NOW),
        ("20261120T100000Z", NOW),
        ("20261120100000", NOW),
        ("20261120100000000", NOW),
        ("2026:11:20 10:00:00", NOW),
        ("2026/11/20 10:00:00", NOW),
        ("2026-11-20T10:00:00,0Z", NOW),
    ],
)
def test_capture_times(given_time: Any, expected: Any) -> None:
    assert decode(message(image=b64(PNG), captured_at=given_time)).identity.captured_at == expected


BERLIN = FrameLimits(zones={"line-1/top": ZoneInfo("Europe/Berlin")})


@pytest.mark.parametrize(
    ("sent", "received", "expected"),
    [
        ("2026-11-20T11:00:00", "2026-11-20T10:00:01", "2026-11-20T10:00:00"),
        ("2026-07-20T12:00:00", "2026-07-20T10:00:01", "2026-07-20T10:00:00"),
        ("2026-11-20T11:00:00Z", "2026-11-20T11:00:01", "2026-11-20T11:00:00"),
        ("2026-11-20T12:00:00+02:00", "2026-11-20T10:00:01", "2026-11-20T10:00:00"),
        ("20261120110000", "2026-11-20T10:00:01", "2026-11-20T10:00:00"),
        ("1795168800", "2026-11-20T10:00:01", "2026-11-20T10:00:00"),
        # The hour from 2 to 3 comes twice on 25 October and is left out on 29 March.
        ("2026-10-25T02:30:00", "2026-10-25T00:30:01", "2026-10-25T00:30:00"),
        ("2026-10-25T02:30:00", "2026-10-25T01:30:01", "2026-10-25T01:30:00"),
        ("2026-03-29T02:30:00", "2026-03-29T01:30:01", "2026-03-29T01:30:00"),
    ],
)
def test_a_time_without_zone_is_of_the_cameras_zone(sent: str, received: str, expected: str) -> None:
    one = replace(delivery(message(image=b64(PNG), captured_at=sent)), received_at=parse_time(received))
    assert PayloadDecoder(BERLIN).decode(one).identity.captured_at == parse_time(expected)
    elsewhere = replace(one, camera=Camera("factory", "line-1", "side"))
    assert PayloadDecoder(BERLIN).decode(elsewhere).identity.captured_at == parse_time(sent)


@pytest.mark.parametrize("name", ["Ref\u00a012", "Ref 12\n", "\ufeffRef  12", "Re\u200df\t12"])
def test_every_spelling_of_a_name_is_one_name(name: str) -> None:
    identity = decode(message(image=b64(PNG), sku=name, part_id=name, frame_id=name)).identity
    assert {identity.sku, identity.part_id, identity.frame_id} == {"Ref 12"}
    identity = decode(PNG, properties={"sku": name, "part_id": name, "frame_id": name}).identity
    assert {identity.sku, identity.part_id, identity.frame_id} == {"Ref 12"}


@pytest.mark.parametrize(
    "sent", ["yesterday", "", 1e300, -1e300, True, ["now"], "2026-11-20T25:00:00Z", "9" * 99]
)
def test_an_unusable_capture_time_loses_no_frame(sent: Any) -> None:
    counters = Counters()
    decoder = PayloadDecoder(counters=counters)
    frame = decoder.decode(delivery(message(image=b64(PNG), captured_at=sent)))
    assert frame.identity.captured_at is None
    assert counters.get("captured_at_unusable") == (0 if sent == "" else 1)


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        ("1970-01-01T00:00:07Z", True), ("1999-12-31T23:59:59Z", True), ("2000-01-01T00:00:00Z", False),
        ("2026-11-21T10:00:00Z", False), ("2026-11-21T10:00:01Z", True), ("2099-01-01T00:00:00Z", True),
        (7, True),
    ],
)  # fmt: skip
def test_a_clock_that_is_wrong_is_kept_as_sent_and_logged_once(
    sent: Any, wrong: bool, caplog: pytest.LogCaptureFixture
) -> None:
    counters = Counters()
    decoder = PayloadDecoder(counters=counters)
    for _ in range(3):
        frame = decoder.decode(delivery(message(image=b64(PNG), captured_at=sent)))
        assert frame.identity.captured_at is not None
    assert counters.get("captured_at_implausible") == (3 if wrong else 0)
    assert len(caplog.records) == (1 if wrong else 0)


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        *[(0, 0), ("0", 0), (7, 7), ("0007", 7), (2**63 - 1, 2**63 - 1), (str(2**63 - 1), 2**63 - 1)],
        *[(None, None), ("", None)],
    ],
)
def test_the_camera_may_number_its_frames(sent: Any, number: int | None) -> None:
    assert decode(message(image=b64(PNG), sequence=sent)).identity.sequence == number
    if isinstance(sent, str):
        assert decode(PNG, properties={"sequence": sent}).identity.sequence == number


@pytest.mark.parametrize("sent", [-1, 2**63, "9" * 400, "1e3", "²", "٣", 1.5, True, [1], "x", " 7"])
def test_an_unusable_sequence_is_ignored_and_counted(sent: Any) -> None:
    counters = Counters()
    one = delivery(message(image=b64(PNG), sequence=sent, frame_id="f"))
    identity = PayloadDecoder(counters=counters).decode(one).identity
    assert (identity.frame_id, identity.sequence) == ("f", None)
    assert counters.get("sequence_unusable") == 1


# --------------------------------------------------------------------------------------- references


def test_a_path_inside_an_allowed_root(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    limits = FrameLimits(allowed_roots=(tmp_path,))
    assert decode(message(image_ref=str(tmp_path / "a.png")), limits).encoded == PNG
    assert decode(message(image_ref="a.png"), limits).encoded == PNG


@pytest.mark.parametrize("reference", ["../secret.png", "link.png", "/etc/passwd", "folder/../../secret.png"])
def test_a_path_that_leads_outside(tmp_path: Path, reference: str) -> None:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(PNG)
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    error = refusal(message(image_ref=reference), FrameLimits(allowed_roots=(root,)))
    assert "outside frames.allowed_roots" in error.reason


def test_paths_need_an_allowed_root(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    assert "allowed_roots" in refusal(message(image_ref=str(tmp_path / "a.png"))).reason
    limits = FrameLimits(allowed_roots=(tmp_path,), max_bytes=100)
    assert "more than 100 bytes" in refusal(message(image_ref="a.png"), limits).reason
    assert "does not exist" in refusal(message(image_ref="b.png"), limits).reason
    assert "does not exist" in refusal(message(image_ref="."), limits).reason


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = PNG if self.path == "/a.png" else bytes(200_000)
        self.send_response(302 if self.path == "/elsewhere" else 200)
        self.send_header("Location", "/a.png")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def host() -> Iterator[Any]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_url_of_an_allowed_host(host: str) -> None:
    limits = FrameLimits(allowed_hosts=(host,), max_bytes=100_000)
    assert decode(message(image_ref=f"http://{host}/a.png"), limits).encoded == PNG
    assert "answered 302" in refusal(message(image_ref=f"http://{host}/elsewhere"), limits).reason
    assert "more than 100,000" in refusal(message(image_ref=f"http://{host}/large"), limits).reason


@pytest.mark.parametrize(
    "url",
    ["http://{0}/a.png", "http://127.0.0.1@{0}/a.png", "ftp://x/a", "file:///etc/passwd", "http://[", "http://x:y/"],
)  # fmt: skip
def test_urls_that_are_not_allowed(host: str, url: str) -> None:
    refusal(message(image_ref=url.format(host)), FrameLimits(allowed_hosts=("127.0.0.1", "camera-1")))


# ----------------------------------------------------------------------------------- kinds of pixels


@pytest.mark.parametrize(
    "content",
    [
        encode(IMAGE, "JPEG", progressive=True),
        encode(IMAGE.convert("L"), "JPEG"),
        encode(IMAGE, "JPEG", restart_marker_blocks=1),
        encode(IMAGE.convert("CMYK"), "JPEG"),
        encode(IMAGE.convert("L"), "PNG"),
        encode(IMAGE.convert("1"), "PNG"),
        encode(IMAGE.convert("P"), "PNG"),
        encode(IMAGE.convert("P"), "PNG", transparency=3),
        encode(IMAGE.convert("RGBA"), "PNG"),
        encode(IMAGE.convert("LA"), "PNG"),
    ],
)
def test_every_kind_of_pixel_becomes_rgb(content: bytes) -> None:
    frame = decode(content)
    expected = np.asarray(Pillow.open(io.BytesIO(content)).convert("RGB"))
    assert np.abs(frame.image.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_become_eight(channels: Any) -> None:
    deep = np.dstack([scene(), scene()[..., :1]])[..., :channels].astype(np.uint16) * 257
    frame = decode(cv2.imencode(".png", deep)[1].tobytes())
    expected = deep[..., :3][..., ::-1] // 257 if channels > 1 else np.repeat(deep // 257, 3, 2)
    assert np.abs(frame.image.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_exif_is_applied(orientation: Any) -> None:
    exif = Pillow.Exif()
    exif[0x112] = orientation
    content = encode(IMAGE, "JPEG", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Pillow.open(io.BytesIO(content))))
    assert np.abs(decode(content).image.astype(int) - upright).max() <= 2


# ------------------------------------------------------------------------------------------ refusals


def huge_png(width: int = 40_000, height: int = 40_000) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        (b"", "empty"),
        (b"hello", "not JPEG or PNG"),
        (b"GIF89a" + bytes(50), "a GIF"),
        (huge_png(), "40,000 x 40,000"),
        (huge_png(0, 5), "zero"),
        (huge_png(50, 50), "damaged"),
        (b"\xff\xd8\xff", "truncated"),
        (PNG[:20], "header"),
        (PNG[:-30], "truncated"),
        (PNG[:100] + b"\0\0\0" + PNG[103:], "damaged"),
        (JPEG[: len(JPEG) // 2], "truncated"),
        (b"{}", "no image"),
        (b"{", "not JSON"),
        (b"{" * 100_000, "not JSON"),
        (message(image=7), "base64 string"),
        (message(image="%%%"), "not valid base64"),
        (message(image=""), "is empty"),
        (message(image=b64(b"hello")), "not JPEG or PNG"),
        (message(image=b64(JPEG[:-40])), "truncated"),
        (message(image_ref=7), "path or URL"),
        (message(image_ref=""), "image_ref"),
        (message(image=b64(PNG), sku="x" * 300), "sku has 300 characters"),
        (message(image=b64(PNG), sku=["a"]), "sku must be text"),
        (message(image=b64(PNG), frame_id="x" * 256), "frame_id has 256"),
        (message(image=b64(PNG), frame_id="\N{LARGE GREEN CIRCLE}" * 126), "504 bytes in UTF-8, at most 500"),
        (message(image=b64(PNG), frame_id="a\x07b"), "frame_id has the control character U+0007"),
        (message(image=b64(PNG), sku="\u202ea"), "sku has the direction override U+202E"),
        (message(image=b64(PNG), part_id="\ud800"), "U+D800, which cannot be printed"),
    ],
)  # fmt: skip
def test_refusals_give_the_reason(payload: bytes, word: str) -> None:
    assert word in refusal(payload).reason


def test_a_refusal_keeps_the_identity_that_could_be_read() -> None:
    error = refusal(JPEG[:500], properties={"frame_id": "f", "sku": "M8", "part_id": "p"})
    assert (error.identity.frame_id, error.identity.sku, error.identity.part_id) == ("f", "M8", "p")
    error = refusal(message(frame_id="f", sku="x" * 300))
    assert (error.identity.frame_id, error.identity.sku) == ("f", None)


@pytest.mark.parametrize("payload", [JPEG, JPEG[:100], b"", b"no image", message(frame_id="f-1"), b"{" * 99])
def test_identify_agrees_with_decode_without_looking_at_pixels(payload: bytes) -> None:
    one = delivery(payload, properties={"frame_id": "from-properties", "sku": "gear"})
    decoder = PayloadDecoder()
    assert decoder.identify(one) == read_by_decode(decoder, one)


def test_limits() -> None:
    assert "at most 100 are decoded" in refusal(JPEG, FrameLimits(max_bytes=100)).reason
    assert "90 x 60" in refusal(JPEG, FrameLimits(max_pixels=5000)).reason
    assert "are read" in refusal(b"{" + b" " * 100_000, FrameLimits(max_bytes=100)).reason


@given(st.integers(3, len(JPEG) - 1))
def test_a_truncated_jpeg_is_never_half_decoded(cut: int) -> None:
    refusal(JPEG[:cut])


@given(st.integers(8, len(PNG) - 1))
def test_a_truncated_png_is_never_half_decoded(cut: int) -> None:
    refusal(PNG[:cut])


@given(
    st.sampled_from([JPEG, PNG, message(image=b64(JPEG), frame_id="f")]),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damaged_bytes_give_a_frame_or_a_frame_error(content: bytes, changes: Any) -> None:
    damaged = bytearray(content)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    try:
        frame = decode(bytes(damaged), FrameLimits(max_pixels=1_000_000))
    except FrameError:
        return
    assert frame.image.dtype == np.uint8


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.lists(st.text(), max_size=2)
)
FIELDS = st.sampled_from(["image", "data", "image_ref", "sku", "frame_id", "part_id", "captured_at"])


@given(st.binary(max_size=300) | st.dictionaries(FIELDS, VALUES).map(lambda one: json.dumps(one).encode()))
def test_only_frame_errors_come_out(payload: bytes) -> None:
    refusal(payload, FrameLimits(allowed_roots=(Path("/nonexistent"),), allowed_hosts=("camera.invalid",)))


@given(st.dictionaries(FIELDS, st.text(max_size=300)))
def test_any_user_properties(properties: Any) -> None:
    try:
        decode(PNG, properties=properties)
    except FrameError as error:
        assert 0 < len(error.identity.frame_id) <= 255  # noqa: PT017
