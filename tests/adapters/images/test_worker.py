"""Decoding in a process of its own: the same pixels, and whatever an image does to it stays there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from adapters.images.channel import KEPT
from adapters.images.codec import CvImageCodec, ImageError
from adapters.images.decode_child import damage
from adapters.images.decoder import PayloadDecoder
from adapters.images.header import HeaderError
from adapters.images.pixels import decode_pixels
from adapters.images.worker import DecodeWorker
from agent.domain.errors import FrameError
from agent.telemetry import Counters
from tests.adapters.images.bad_child import asking
from tests.adapters.images.test_decoder import JPEG, PNG, b64, delivery, message
from tests.support.factory import wait_until
from tests.support.mutations import originals

pytestmark = pytest.mark.skipif(not DecodeWorker.supported(), reason="decodes in process here")

BAD = "tests.adapters.images.bad_child"
MANY = 100_000_000


@pytest.fixture(scope="module")
def good() -> Iterator[DecodeWorker]:
    with DecodeWorker(MANY) as worker:
        yield worker


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def bad(counters: Counters) -> Iterator[DecodeWorker]:
    with DecodeWorker(MANY, 20.0, counters, entry=BAD) as worker:
        worker.start()
        yield worker


def refusal(worker: DecodeWorker, content: bytes) -> str:
    with pytest.raises(HeaderError) as caught:
        worker(content)
    return str(caught.value)


def pid_of(worker: DecodeWorker) -> int:
    assert worker.pid is not None
    return worker.pid


def gone(pid: int) -> bool:
    """No process, or one that only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


# ---------------------------------------------------------------------------------------- same pixels


def test_the_same_pixels_as_in_process(good: DecodeWorker) -> None:
    for content in (*originals(), JPEG, PNG):
        header, image = decode_pixels(content, MANY)
        found, other = good(content)
        assert (found, other.dtype, other.shape) == (header, image.dtype, image.shape)
        assert np.array_equal(image, other)
        assert other.flags.writeable
        assert other.flags.c_contiguous


@pytest.mark.slow
def test_sizes_up_and_down_and_earlier_images_stay_as_they_are(good: DecodeWorker) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 800), np.uint8)
    large = cv2.resize(noise, (5200, 4200), interpolation=cv2.INTER_NEAREST)
    assert large.size * 3 > KEPT
    contents = [cv2.imencode(".jpg", pixels)[1].tobytes() for pixels in (noise, large, noise[:40])]
    first = [good(content)[1] for content in contents]
    again = [good(content)[1] for content in reversed(contents)][::-1]
    for content, one, other in zip(contents, first, again, strict=True):
        assert np.array_equal(one, other)
        assert np.array_equal(one, decode_pixels(content, MANY)[1])


def test_refusals_are_the_same(good: DecodeWorker) -> None:
    for content in (b"", b"hello", JPEG[:500], PNG[:-30], PNG[:100] + b"\0\0\0" + PNG[103:]):
        with pytest.raises(HeaderError) as here:
            decode_pixels(content, MANY)
        assert refusal(good, content) == str(here.value)
    with pytest.raises(ImageError, match="truncated"):
        CvImageCodec(MANY, good).decode(JPEG[:500])
    assert np.array_equal(CvImageCodec(MANY, good).decode(PNG), decode_pixels(PNG, MANY)[1])


def test_a_jpeg_that_lost_its_middle_is_not_an_image(good: DecodeWorker) -> None:
    at = len(JPEG) // 2
    broken = JPEG[:at] + JPEG[at + 400 :]
    decode_pixels(broken, MANY)  # the end is there: only libjpeg detects it, and grey fills the gap
    assert "parts of the image are missing" in refusal(good, broken)


@pytest.mark.parametrize(
    ("log", "missing"),
    [
        ("", False),
        ("libpng warning: iCCP: known incorrect sRGB profile", False),
        ("Corrupt JPEG data: 2 extraneous bytes before marker 0xd9", False),
        ("Corrupt JPEG data: 4 extraneous bytes before marker 0xd3", False),
        ("Corrupt JPEG data: 900 extraneous bytes before marker 0xd9", True),
        ("Corrupt JPEG data: 1 extraneous bytes before marker 0xc4", True),
        ("Corrupt JPEG data: premature end of data segment", True),
        ("Corrupt JPEG data: bad Huffman code", True),
        ("x\nPremature end of JPEG file\n", True),
    ],
)
def test_what_libjpeg_complains_of(log: str, missing: bool) -> None:
    assert (damage(log) is not None) is missing


def test_threads_take_turns(good: DecodeWorker) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda content: (content, good(content)[1]), originals() * 2))
    for content, image in found:
        assert np.array_equal(image, decode_pixels(content, MANY)[1])


# ----------------------------------------------------------------------------------- one image ahead


def test_images_that_are_expected_are_the_same_as_others(good: DecodeWorker) -> None:
    contents = [*originals(), JPEG, PNG] * 2
    for content, following in zip(contents, [*contents[1:], b"no image"], strict=True):
        good.expect(following)
        assert np.array_equal(good(content)[1], decode_pixels(content, MANY)[1])


def test_another_image_than_was_expected(good: DecodeWorker) -> None:
    small = cv2.imencode(".png", np.zeros((3, 5, 3), np.uint8))[1].tobytes()
    for content, expected in ((JPEG, PNG), (small, JPEG), (small, JPEG[:-20]), (PNG, small), (JPEG, b"")):
        good.expect(expected)
        assert np.array_equal(good(content)[1], decode_pixels(content, MANY)[1])
    assert "truncated" in refusal(good, JPEG[:500])


@pytest.mark.parametrize(
    ("wish", "word"), [("crash SIGSEGV", "SIGSEGV"), ("leave", "code 3"), ("fail", "of its own")]
)
def test_an_image_ahead_is_its_own_error_and_no_neighbours(bad: DecodeWorker, wish: str, word: str) -> None:
    poison = asking(JPEG, wish)
    bad.expect(poison)
    assert np.array_equal(bad(PNG)[1], decode_pixels(PNG, MANY)[1])
    bad.expect(PNG)
    assert word in refusal(bad, poison)
    assert np.array_equal(bad(PNG)[1], decode_pixels(PNG, MANY)[1])


def test_an_image_ahead_that_hangs_is_one_error(counters: Counters) -> None:
    with DecodeWorker(MANY, 0.5, counters, entry=BAD) as worker:
        worker.start()
        poison = asking(JPEG, "hang")
        worker.expect(poison)
        assert worker(PNG)[0].width == 90
        assert "not decoded within 0.5 s" in refusal(worker, poison)
        worker.start()
        assert worker(PNG)[0].width == 90
    assert counters.snapshot() == {"decoder_restarts": 1}


def test_a_decoder_that_dies_over_an_image_nobody_asks_for_costs_no_frame(bad: DecodeWorker) -> None:
    bad.expect(asking(JPEG, "crash SIGSEGV"))
    assert bad(PNG)[0].width == 90
    assert bad(JPEG)[0].width == 90


# ---------------------------------------------------------------------------------------- bad images


def test_an_image_that_hangs_ends_as_one_error(counters: Counters) -> None:
    with DecodeWorker(MANY, 0.5, counters, entry=BAD) as worker:
        worker.start()
        before = pid_of(worker)
        assert "not decoded within 0.5 s" in refusal(worker, asking(JPEG, "hang"))
        assert gone(before)
        worker.start()  # its start is not under the limit of an image
        assert np.array_equal(worker(JPEG)[1], decode_pixels(JPEG, MANY)[1])
    assert counters.snapshot() == {"decoder_restarts": 1}


@pytest.mark.parametrize(
    ("wish", "word"),
    [
        ("crash SIGSEGV", "SIGSEGV"),
        ("crash SIGABRT", "SIGABRT"),
        ("leave", "code 3"),
        ("shrink", "another size"),
    ],
)
def test_an_image_that_ends_the_decoder_is_one_error(
    bad: DecodeWorker, counters: Counters, wish: str, word: str
) -> None:
    before = pid_of(bad)
    assert word in refusal(bad, asking(JPEG, wish))
    assert gone(before)
    assert bad(JPEG)[0].width == 90
    assert counters.get("decoder_restarts") == 1


@pytest.mark.parametrize(("wish", "word"), [("exhaust", "memory"), ("fail", "RuntimeError: of its own")])
def test_an_image_that_fails_leaves_the_decoder_alive(
    bad: DecodeWorker, counters: Counters, wish: str, word: str
) -> None:
    before = bad.pid
    assert word in refusal(bad, asking(JPEG, wish))
    assert bad(JPEG)[0].width == 90
    assert bad.pid == before
    assert counters.get("decoder_restarts") == 0


def test_a_decoder_killed_from_outside_costs_no_frame(
    bad: DecodeWorker, counters: Counters, tmp_path: Path
) -> None:
    os.kill(pid_of(bad), signal.SIGKILL)
    assert bad(JPEG)[0].width == 90
    assert bad(asking(JPEG, f"once {tmp_path / 'mark'}"))[0].width == 90
    assert counters.get("decoder_restarts") == 2
    assert "killed twice" in refusal(bad, asking(JPEG, "crash SIGKILL"))


def test_what_the_codecs_print_is_bounded(bad: DecodeWorker, capfd: pytest.CaptureFixture[str]) -> None:
    assert bad(asking(JPEG, "talk"))[0].width == 90
    assert bad(JPEG)[0].width == 90
    assert capfd.readouterr().err == ""


def test_a_frame_names_the_reason_and_its_neighbours_are_decoded(counters: Counters) -> None:
    with DecodeWorker(MANY, 20.0, counters, entry=BAD) as worker:
        decoder = PayloadDecoder(pixels=worker, counters=counters)
        with pytest.raises(FrameError, match="crash") as caught:
            decoder.decode(delivery(asking(PNG, "crash SIGSEGV"), properties={"frame_id": "f-1"}))
        assert caught.value.identity.frame_id == "f-1"
        assert decoder.decode(delivery(PNG)).width == 90


def test_a_decoder_that_cannot_be_started_is_reported(counters: Counters) -> None:
    with DecodeWorker(MANY, 20.0, counters, entry="adapters.images.no_such_module") as worker:
        worker.start()
        assert "cannot be started" in refusal(worker, JPEG)
    assert counters.get("decoder_starts_failed") == 2


# ------------------------------------------------------------------------------------------ the process


def test_the_child_has_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_BROKER__PASSWORD", "secret")
    with Path(__file__).open("rb") as file, DecodeWorker(MANY) as worker:
        os.set_inheritable(file.fileno(), True)
        worker.start()
        process = Path(f"/proc/{pid_of(worker)}")
        held = [str(one.readlink()) for one in (process / "fd").iterdir()]
        assert not [one for one in held if __file__ in one]
        assert len(held) <= 7
        assert b"secret" not in (process / "environ").read_bytes()
        assert os.getsid(pid_of(worker)) == pid_of(worker)


def test_signals_meant_for_the_agent_do_not_end_the_child(good: DecodeWorker) -> None:
    good.start()
    before = pid_of(good)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(before, number)
    assert good(JPEG)[0].width == 90
    assert good.pid == before


def test_close_ends_the_child_and_a_later_image_starts_another() -> None:
    worker = DecodeWorker(MANY)
    worker.start()
    before = pid_of(worker)
    worker.close()
    assert gone(before)
    assert worker.pid is None
    assert worker(JPEG)[0].width == 90
    worker.close()


_AGENT = """
import sys
from adapters.images.worker import DecodeWorker
worker = DecodeWorker(10**8, float(sys.argv[2]), entry="tests.adapters.images.bad_child")
worker.start()
print(worker.pid, flush=True)
worker(open(sys.argv[1], "rb").read()) if sys.argv[1] else sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.parametrize("hanging", [False, True])
def test_no_orphan_stays_when_the_agent_is_killed(tmp_path: Path, hanging: bool) -> None:
    image, mark = tmp_path / "image.jpg", tmp_path / "mark"
    image.write_bytes(asking(JPEG, f"hang {mark}"))
    command = [sys.executable, "-c", _AGENT, str(image) if hanging else "", "1.0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agent:
        assert agent.stdout is not None
        child = int(agent.stdout.readline())
        assert not gone(child)
        wait_until(lambda: mark.exists() or not hanging, "the decoder to begin")
        agent.kill()
    wait_until(lambda: gone(child), "the end of the child")


def test_the_child_imports_no_model() -> None:
    code = (
        "import sys, adapters.images.decode_child;"
        "print([name for name in ('torch', 'pydantic', 'sqlalchemy', 'httpcore') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_images_within_messages_are_decoded_there_too(good: DecodeWorker) -> None:
    frame = PayloadDecoder(pixels=good).decode(delivery(message(image=b64(PNG))))
    assert np.array_equal(frame.image, decode_pixels(PNG, MANY)[1])
