"""``DecodeWorker``: decodes in a process of its own; an image that hangs or crashes it is one error."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from adapters.images.channel import ANSWER, READY, REQUEST, Canvas, open_canvas
from adapters.images.depth import DEEP, UNKNOWN, KnownDepth
from adapters.images.header import Header, HeaderError, admit
from agent.domain.frame import Image
from agent.telemetry import Counters

logger = logging.getLogger(__name__)

START_S = 60.0
"""Longest wait for a new decoder; half a second is usual."""
_STOP_S = 2.0
_BASE_BYTES = 128_000_000
_BYTES_PER_PIXEL = 40
"""Coefficients of a progressive JPEG in full colour, the image in 16 bits and in 8, and it rotated."""
_BOOT = (
    "import sys; channel, one, other, entry, *path = sys.argv[1:]; sys.path[:] = path; "
    "from importlib import import_module; import_module(entry).main(int(channel), (int(one), int(other)))"
)
_ENTRY = "adapters.images.decode_child"
_ROOT = str(Path(__file__).resolve().parents[2])
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")
_SETTINGS = {
    # Keep freed memory for the next image, up to about 20 megapixels: mapping its pages anew costs as much.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "134217728",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


class _DiedError(Exception):
    """The decoder is gone; ``killed`` means that the image may not be the cause."""

    def __init__(self, reason: str, *, killed: bool = False) -> None:
        super().__init__(reason)
        self.killed = killed


class DecodeWorker:
    """Decodes one image at a time in a child process, which it kills and replaces if it does not answer.

    The image that :meth:`expect` named is sent before the answer about the one before it is awaited. So the
    child decodes it while the caller works on that.

    Callable from any thread. The first call or :meth:`start` starts the child, which ends by itself when
    this process ends. The child is not a fork: it inherits no sockets, no databases and no passwords from
    the environment.
    """

    def __init__(
        self,
        max_pixels: int,
        timeout_s: float = 10.0,
        counters: Counters | None = None,
        *,
        entry: str = _ENTRY,
    ) -> None:
        """``entry`` names the module whose ``main`` serves the channel; tests pass ones that misbehave."""
        self._max_pixels = max_pixels
        self._timeout_s = timeout_s
        self._counters = counters if counters is not None else Counters()
        self._entry = entry
        self._child: _Child | None = None
        self._expected: bytes | None = None
        self._lock = threading.Lock()

    @staticmethod
    def supported() -> bool:
        """Whether this system can run the child; Windows cannot."""
        return os.name == "posix"

    def start(self) -> None:
        """Start the child, so that the first frame does not wait for it. That frame reports a failure."""
        with self._lock, contextlib.suppress(_DiedError):
            self._running_child()

    def __call__(self, content: bytes, known: KnownDepth = UNKNOWN) -> tuple[Header, Image]:
        """As :func:`adapters.images.pixels.decode_pixels`. Raises HeaderError."""
        header = admit(content, self._max_pixels)
        with self._lock:
            try:
                return self._decode(content, header, known)
            except _DiedError as error:
                if not error.killed:
                    raise HeaderError(str(error)) from None
            try:  # once more: another process may have killed the decoder
                return self._decode(content, header, known)
            except _DiedError as error:
                raise HeaderError(str(error)) from None

    def expect(self, content: bytes) -> None:
        """Which image comes after the next one. Never raises, never blocks."""
        self._expected = content

    def close(self) -> None:
        """End the child. A later call starts another."""
        with self._lock:
            if self._child is not None:
                self._child.close()
                self._child = None

    @property
    def pid(self) -> int | None:
        """The child's process id; None if none runs."""
        child = self._child
        return None if child is None else child.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _decode(self, content: bytes, header: Header, known: KnownDepth) -> tuple[Header, Image]:
        child = self._running_child()
        try:
            return child.decode(self._request(content, header, known), self._ahead())
        except HeaderError:
            raise
        except _DiedError as error:
            self._discard(child, str(error))
            raise
        except BaseException:
            self._discard(child, "it was interrupted")  # half an answer may be under way
            raise

    def _request(self, content: bytes, header: Header, known: KnownDepth) -> _Request:
        return _Request(content, header, known, self._max_pixels, self._timeout_s)

    def _ahead(self) -> _Request | None:
        """The image that comes after this one, if it can be decoded without knowing this one."""
        content, self._expected = self._expected, None
        if content is None:
            return None
        try:
            header = admit(content, self._max_pixels)
        except HeaderError:
            return None
        return None if header.depth == DEEP else self._request(content, header, UNKNOWN)

    def _running_child(self) -> _Child:
        if self._child is not None and not self._child.alive:
            self._discard(self._child, "it died between two images")
        if self._child is None:
            try:
                self._child = _Child(self._entry)
            except (OSError, subprocess.SubprocessError) as error:
                self._counters.add("decoder_starts_failed")
                logger.warning("the decoder cannot be started: %s", error)
                raise _DiedError(
                    f"the decoder cannot be started: {error}; free memory or processes, or set "
                    "frames.decode_worker: false"
                ) from None
        return self._child

    def _discard(self, child: _Child, reason: str) -> None:
        child.close(kill=True)
        self._child = None
        self._counters.add("decoder_restarts")
        logger.warning("the decoder is replaced: %s", reason)


@dataclass(frozen=True, slots=True)
class _Request:
    """An image to decode, and what it may take."""

    content: bytes
    header: Header
    known: KnownDepth
    max_pixels: int
    timeout_s: float


class _Child:
    """One child process, its socket and the memory it shares with this one.

    It has up to two requests at a time and answers them in their order; the pixels of each go to the other of
    two canvases.
    """

    def __init__(self, entry: str) -> None:
        """Raises OSError."""
        self._files = (open_canvas(), open_canvas())
        self._canvases = [Canvas(file) for file in self._files]
        self._sent = 0
        self._asked: deque[tuple[_Request, Canvas]] = deque()
        self._socket, theirs = socket.socketpair()
        with theirs:
            shared = (theirs.fileno(), *self._files)
            try:
                self._process = subprocess.Popen(
                    _command(entry, shared),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=shared,
                    env=_environment(),
                    start_new_session=True,  # Ctrl-C is for the agent, which drains first
                )
            except BaseException:
                self._close_files()
                raise
        try:
            self._receive(len(READY), time.monotonic() + START_S)
        except (OSError, _DiedError) as error:
            self.close(kill=True)
            raise OSError(f"it does not answer ({error})") from None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def decode(self, request: _Request, ahead: _Request | None = None) -> tuple[Header, Image]:
        """The image of ``request``; ``ahead`` is decoded meanwhile and afterwards, for the next call.

        Raises HeaderError, _DiedError.
        """
        deadline = time.monotonic() + request.timeout_s
        self._forget_others(request.content, deadline)
        try:
            if not self._asked:
                self._ask(request, deadline)
            if ahead is not None and len(self._asked) == 1:
                with contextlib.suppress(HeaderError):  # no memory: it is reported when its turn comes
                    self._ask(ahead, deadline)
            return self._answer(deadline)
        except TimeoutError:
            raise _DiedError(
                f"the image was not decoded within {request.timeout_s:g} s; send a smaller one or raise "
                "frames.decode_timeout_s"
            ) from None
        except OSError:
            raise self._death() from None

    def _forget_others(self, content: bytes, deadline: float) -> None:
        """Wait for an image that was decoded ahead and is not the next one. Raises _DiedError."""
        try:
            while self._asked and self._asked[0][0].content is not content:
                with contextlib.suppress(HeaderError):
                    self._answer(deadline)
        except (OSError, _DiedError):
            raise _DiedError("it did not finish an image that nobody asked for", killed=True) from None

    def _ask(self, request: _Request, deadline: float) -> None:
        """Raises HeaderError, OSError."""
        content, header, known = request.content, request.header, request.known
        canvas = self._canvases[self._sent % len(self._canvases)]
        try:
            canvas.grow(header.pixels * 3)
        except OSError as error:
            raise HeaderError(f"there is no memory for the image: {error.strerror}") from None
        memory = _BASE_BYTES + _BYTES_PER_PIXEL * header.pixels + 4 * len(content)
        depth = (known.stated, known.seen)
        self._asked.append((request, canvas))
        self._sent += 1
        self._send(
            REQUEST.pack(len(content), request.max_pixels, memory, request.timeout_s, *depth), deadline
        )
        self._send(content, deadline)

    def _answer(self, deadline: float) -> tuple[Header, Image]:
        """What became of the request that was sent first. Raises HeaderError, _DiedError, OSError."""
        done, height, width, length, bits, highest = ANSWER.unpack(self._receive(ANSWER.size, deadline))
        sentence = b"" if done else self._receive(length, deadline)
        request, canvas = self._asked.popleft()
        if not done:
            raise HeaderError(sentence.decode("utf-8", "replace"))
        header = request.header
        if sorted((height, width)) != sorted((header.height, header.width)):
            raise _DiedError("the decoder answered with an image of another size")
        try:
            image: Image = canvas.pixels(height, width).copy()
        except (OSError, MemoryError) as error:
            raise HeaderError(f"there is no memory for the image: {error}") from None
        canvas.shrink()
        return replace(header, bits=bits, highest=highest), image

    def close(self, *, kill: bool = False) -> None:
        """End the process: at once with ``kill``, else as soon as it notices that its socket is closed."""
        self._close_files()
        if kill:
            self._process.kill()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _close_files(self) -> None:
        self._socket.close()
        for file in self._files:
            os.close(file)

    def _death(self) -> _DiedError:
        try:
            code = self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            return _DiedError("the decoder does not answer any more")
        if code == -signal.SIGKILL:
            return _DiedError("the decoder was killed twice while it decoded the image", killed=True)
        name = signal.Signals(-code).name if code < 0 else f"code {code}"
        return _DiedError(f"the image made the decoder crash ({name}); it is damaged or malicious")

    def _send(self, content: bytes, deadline: float) -> None:
        self._socket.settimeout(max(0.001, deadline - time.monotonic()))
        self._socket.sendall(content)

    def _receive(self, length: int, deadline: float) -> bytes:
        found = bytearray()
        while len(found) < length:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            some = self._socket.recv(length - len(found))
            if not some:
                raise ConnectionResetError("the decoder is gone")
            found += some
        return bytes(found)


def _command(entry: str, shared: Sequence[int]) -> list[str]:
    """Isolated from the current folder and the environment; modules are found as in this process."""
    path = [_ROOT, *(os.path.abspath(folder) for folder in sys.path)]  # noqa: PTH100 - "" is this folder
    return [sys.executable, "-I", "-c", _BOOT, *map(str, shared), entry, *path]


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, **_SETTINGS}
