"""``Hub``: downloads from a hub of the Hugging Face kind or from a plain address, and resumes them.

The plain HTTP protocol of ``/REPO/resolve/REVISION/FILE``. huggingface_hub speaks it too, but discards an
interrupted file at the end of the process. Gigabytes over a factory's uplink must be able to resume the next
day.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import httpx

from agent.domain.errors import ModelError

ENDPOINT = "https://huggingface.co"
CHUNK = 1 << 20
_TRIES = 5
"""How often in a row a transfer may break off without progress."""
_SWITCHED_ON = frozenset({"1", "ON", "YES", "TRUE"})

Progress = Callable[[str, int, int | None], None]
"""File, bytes so far, and all bytes if known."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on the hub, as it is now."""

    name: str
    url: str
    size: int | None
    etag: str
    """sha256 of a large file, git's blob id of a small one, or whatever a mirror sends; may be empty."""


def offline(environ: Mapping[str, str]) -> bool:
    """Whether the hub is switched off by HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE)."""
    return any(
        environ.get(name, "").upper() in _SWITCHED_ON for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


class Hub:
    """Downloads from one endpoint.

    Args:
        endpoint: as HF_ENDPOINT; a mirror serves as well.
        pause_s: between a broken-off transfer and the next try.
    """

    def __init__(self, endpoint: str | None = None, *, timeout_s: float = 30, pause_s: float = 1.0) -> None:
        self.endpoint = (endpoint or ENDPOINT).rstrip("/")
        self._timeout, self._pause = httpx.Timeout(timeout_s), pause_s

    def look_up(self, repo: str, revision: str, name: str) -> Remote:
        """A file as the hub describes it. Raises ModelError if it is not there or nothing answers."""
        url = f"{self.endpoint}/{repo}/resolve/{quote(revision, safe='')}/{quote(name)}"
        return self._look(url, name, f"{name} of {repo}")

    def look_up_address(self, url: str) -> Remote:
        """A file on a server outside the hub. Raises ModelError as :meth:`look_up`."""
        name = urlsplit(url).path.rsplit("/", maxsplit=1)[-1]
        return self._look(url, name, name)

    def _look(self, url: str, name: str, what: str) -> Remote:
        with self._client() as client, self._errors_as_sentences(what, url):
            headers: dict[str, str] = {}
            target = url
            for _ in range(5):
                response = client.head(target)
                headers = {**response.headers, **headers}
                location = response.headers.get("location", "")
                if not response.is_redirect or urlsplit(location).netloc:
                    break  # on the hub's own host only renamed repositories redirect; the rest is storage
                target = urljoin(target, location)
            if not response.is_redirect:
                response.raise_for_status()
        etag = headers.get("x-linked-etag") or response.headers.get("etag") or ""
        own_length = None if response.is_redirect else response.headers.get("content-length")
        length = headers.get("x-linked-size") or own_length
        size = int(length) if length is not None and length.isdigit() else None
        return Remote(name, target, size, etag.removeprefix("W/").strip('"'))

    def fetch(self, remote: Remote, target: Path, progress: Progress) -> Path:
        """Write a file's bytes beside ``target`` and return where, complete and checked; nothing is replaced.

        It resumes an earlier try of the same version.

        Raises:
            ModelError: the transfer broke off for good (what came is kept), the disk is full, or the content
                is not what the hub announced (it is deleted).
        """
        partial = _partial(remote, target)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not remote.etag:
            partial.unlink(missing_ok=True)  # it may belong to another version
        _check_space(remote, partial)
        tries = 0
        while True:
            before = _size(partial)
            try:
                self._transfer(remote, partial, progress)
                break
            except httpx.TransportError as error:
                tries = 0 if _size(partial) > before else tries + 1
                if tries >= _TRIES:
                    raise ModelError(
                        f"the transfer of {remote.name} broke off after {_size(partial):,} of "
                        f"{_shown(remote.size)} bytes ({_why(error)}): run the same command again, it goes "
                        "on from there"
                    ) from error
                time.sleep(self._pause)
        _check(remote, partial)
        return partial

    def _transfer(self, remote: Remote, partial: Path, progress: Progress) -> None:
        """One try. Raises httpx.TransportError if it breaks off."""
        start = _size(partial)
        if remote.size is not None and start >= remote.size:
            if start == remote.size:
                progress(remote.name, start, remote.size)
                return
            partial.unlink()
            start = 0
        headers = {"Range": f"bytes={start}-"} if start else {}
        with (
            self._client(follow_redirects=True) as client,
            self._errors_as_sentences(remote.name, remote.url, transport=False),
            client.stream("GET", remote.url, headers=headers) as response,
        ):
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and start:
                partial.unlink()
                raise httpx.ReadError(f"the server has less than {start} bytes", request=response.request)
            response.raise_for_status()
            goes_on = response.headers.get("content-range", "").startswith(f"bytes {start}-")
            resumed = response.status_code == httpx.codes.PARTIAL_CONTENT and goes_on
            done = start if resumed else 0
            with partial.open("ab" if resumed else "wb") as file:
                progress(remote.name, done, remote.size)
                for chunk in response.iter_bytes():  # as they come: buffered bytes would be lost in a break
                    file.write(chunk)
                    done += len(chunk)
                    progress(remote.name, done, remote.size)
            if remote.size is not None and done < remote.size:
                raise httpx.ReadError(f"ended {remote.size - done} bytes early", request=response.request)

    def _client(self, *, follow_redirects: bool = False) -> httpx.Client:
        # Uncompressed: only then do sizes and ranges count the file's own bytes.
        headers = {"Accept-Encoding": "identity", "User-Agent": "sightline"}
        return httpx.Client(headers=headers, timeout=self._timeout, follow_redirects=follow_redirects)

    @contextmanager
    def _errors_as_sentences(self, what: str, url: str, *, transport: bool = True) -> Iterator[None]:
        """Raise ModelError with one sentence for each failure of HTTP."""
        parts = urlsplit(url)
        server = f"{parts.scheme}://{parts.netloc}"
        try:
            yield
        except httpx.HTTPStatusError as error:
            code = error.response.status_code
            raise ModelError(
                f"{server} does not give {what} (HTTP {code}): bring it by hand with "
                "`sightline models pull NAME --from FOLDER`"
            ) from error
        except httpx.RequestError as error:
            if isinstance(error, httpx.TransportError) and not transport:
                raise
            raise ModelError(
                f"{server} cannot be reached for {what} ({_why(error)}); without a network bring the "
                "files by hand: `sightline models pull NAME --from FOLDER`"
            ) from error
        except httpx.InvalidURL as error:
            raise ModelError(f"HF_ENDPOINT is not a usable address ({error})") from error


def _partial(remote: Remote, target: Path) -> Path:
    version = re.sub(r"\W", "", remote.etag)[:16] or "unversioned"
    return target.with_name(f".{target.name}.{version}.part")


def _check(remote: Remote, partial: Path) -> None:
    """Check the size, and the announced digest if there is one. Raises ModelError and deletes a bad file."""
    actual = _size(partial)
    announced = None
    if re.fullmatch(r"[0-9a-f]{64}", remote.etag):
        announced = _digest(partial, hashlib.sha256())
    elif re.fullmatch(r"[0-9a-f]{40}", remote.etag):  # a small file: git's id of the blob
        announced = _digest(partial, hashlib.sha1(f"blob {actual}\0".encode(), usedforsecurity=False))
    wrong_size = remote.size is not None and actual != remote.size
    if wrong_size or (announced is not None and announced != remote.etag):
        partial.unlink()
        raise ModelError(
            f"{remote.name} came damaged ({actual:,} of {_shown(remote.size)} bytes, not the content that "
            "was announced) and was deleted: run the same command again"
        )


def _digest(path: Path, digest: hashlib._Hash) -> str:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _check_space(remote: Remote, partial: Path) -> None:
    free = shutil.disk_usage(partial.parent).free
    wanted = (remote.size or 0) - _size(partial)
    if wanted > free:
        raise ModelError(
            f"{remote.name} needs {wanted / 1e6:,.0f} MB in {partial.parent}, where {free / 1e6:,.0f} MB are "
            "free: make room or set models.path to another disk"
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _shown(size: int | None) -> str:
    return "an unknown number of" if size is None else f"{size:,}"


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
