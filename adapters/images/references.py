"""Pictures that a message names instead of holding: files of allowed folders, URLs of allowed hosts."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import httpx

_PORTS = {"http": 80, "https": 443}
_CHUNK = 64 * 1024


class PictureReferenceError(ValueError):
    """The reference may not be followed, or leads to nothing."""


class ReferenceReader:
    """Reads references within allowed roots and hosts, up to ``max_bytes``; nothing is allowed by default.

    ``allowed_hosts`` are ``host`` (the usual ports 80 and 443) or ``host:port``. Redirects are not
    followed, and proxies of the environment not used: both would lead elsewhere.
    """

    def __init__(
        self,
        max_bytes: int,
        allowed_roots: Iterable[Path] = (),
        allowed_hosts: Iterable[str] = (),
        timeout_s: float = 5.0,
    ) -> None:
        self._max_bytes = max_bytes
        self._roots = tuple(Path(root).resolve() for root in allowed_roots)
        self._hosts = frozenset(host.lower() for host in allowed_hosts)
        self._timeout_s = timeout_s
        self._client: httpx.Client | None = None

    def read(self, reference: str) -> bytes:
        """The bytes behind a path or URL. Raises PictureReferenceError in one sentence."""
        if not reference or len(reference) > 4_096 or not reference.isprintable():
            raise PictureReferenceError("the image_ref is empty, too long or has unprintable characters")
        if "://" in reference:
            return self._fetch(reference)
        return self._open(reference)

    def _open(self, reference: str) -> bytes:
        path = self._allowed_path(reference)
        try:
            with path.open("rb") as file:
                content = file.read(self._max_bytes + 1)
        except OSError as error:
            raise PictureReferenceError(f"the file of image_ref cannot be read: {error.strerror}") from None
        return self._within(content)

    def _allowed_path(self, reference: str) -> Path:
        """The file with all symbolic links resolved, inside an allowed root."""
        if not self._roots:
            raise PictureReferenceError("files are not allowed; name their folder in frames.allowed_roots")
        inside = False
        for root in self._roots:
            try:
                path = (root / reference).resolve()
                if not path.is_relative_to(root):
                    continue
                inside = True
                if path.is_file():
                    return path
            except (OSError, ValueError, RuntimeError):  # names too long, loops of links
                continue
        if inside:
            raise PictureReferenceError("the file of image_ref does not exist")
        raise PictureReferenceError("the file of image_ref lies outside frames.allowed_roots")

    def _fetch(self, url: str) -> bytes:
        self._check_host(url)
        if self._client is None:
            self._client = httpx.Client(
                follow_redirects=False,
                trust_env=False,
                timeout=self._timeout_s,
                headers={"accept-encoding": "identity"},
            )
        deadline = time.monotonic() + self._timeout_s
        content = bytearray()
        try:
            with self._client.stream("GET", url) as response:
                if response.status_code != httpx.codes.OK:
                    raise PictureReferenceError(f"the host of image_ref answered {response.status_code}")
                for chunk in response.iter_raw(_CHUNK):
                    content += chunk
                    if len(content) > self._max_bytes:
                        break
                    if time.monotonic() > deadline:
                        raise PictureReferenceError(
                            f"the picture did not arrive within {self._timeout_s:g} s"
                        )
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise PictureReferenceError(f"the picture cannot be fetched: {type(error).__name__}") from None
        return self._within(bytes(content))

    def _check_host(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise PictureReferenceError("the image_ref is no URL") from None
        if parts.scheme not in _PORTS or not host or parts.username is not None or parts.password is not None:
            raise PictureReferenceError("an image_ref reads http://HOST/PATH or https://HOST/PATH")
        usual = port is None or port == _PORTS[parts.scheme]
        named = f"{host}:{port or _PORTS[parts.scheme]}"
        if named not in self._hosts and not (usual and host in self._hosts):
            raise PictureReferenceError(f"the host {named} is not allowed; name it in frames.allowed_hosts")

    def _within(self, content: bytes) -> bytes:
        if len(content) > self._max_bytes:
            raise PictureReferenceError(f"the picture of image_ref has more than {self._max_bytes:,} bytes")
        return content
