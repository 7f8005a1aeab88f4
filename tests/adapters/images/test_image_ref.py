"""Image references: what may be read, and hosts and files that misbehave."""

from __future__ import annotations

import os
import shutil
import ssl
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.http.hosts import AllowedHosts
from adapters.images.fetching import Fetcher, FetchError
from adapters.images.image_ref import ImageReferenceError, ReferenceReader, _open_inside
from tests.fixtures.mosquitto import make_certificates
from tests.support.image_host import ImageHost, image_host, slow_resolver

IMAGE = b"\x89PNG and so on" * 100


# ------------------------------------------------------------------------------------------------ files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.png").write_bytes(IMAGE)
    (folder / "sub" / "b.png").write_bytes(IMAGE)
    (tmp_path / "secret.png").write_bytes(b"secret")
    return folder


def refused(reader: ReferenceReader, reference: str) -> str:
    with pytest.raises(ImageReferenceError) as caught:
        reader.read(reference)
    assert "secret" not in str(caught.value)
    return str(caught.value)


def test_files_and_links_that_stay_inside(root: Path) -> None:
    (root / "link.png").symlink_to("sub/b.png")
    (root / "folder").symlink_to("sub")
    reader = ReferenceReader(10_000, [root])
    for reference in ("a.png", "sub/b.png", "sub/../a.png", "link.png", "folder/b.png", str(root / "a.png")):
        assert reader.read(reference) == IMAGE


def test_a_root_that_is_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    reader = ReferenceReader(10_000, [tmp_path / "alias"])
    assert reader.read("a.png") == reader.read(str(tmp_path / "alias" / "a.png")) == IMAGE


@pytest.mark.parametrize(
    "reference",
    [
        *("../secret.png", "sub/../../secret.png", "link.png", "out/secret.png", "/etc/passwd", "/dev/zero"),
        *("//etc/passwd", "\\\\server\\share\\secret.png", "/proc/self/environ", ".."),
    ],
)
def test_what_leads_outside(root: Path, reference: str) -> None:
    (root / "link.png").symlink_to("../secret.png")
    (root / "out").symlink_to("..")
    assert "outside frames.allowed_roots" in refused(ReferenceReader(10_000, [root]), reference)


@pytest.mark.parametrize(
    "reference",
    [
        "..%2fsecret.png",
        "%2e%2e/secret.png",
        "C:\\a.png",
        "sub",
        ".",
        "x" * 4000,
        "~/a.png",
        "$HOME",
    ],
)
def test_what_is_taken_as_it_is_written_and_is_not_there(root: Path, reference: str) -> None:
    assert "does not exist" in refused(ReferenceReader(10_000, [root]), reference)


@pytest.mark.parametrize("reference", ["", "a\0.png", "a\n.png", "\u202egnp.a", "x" * 5000, "\ud800.png"])
def test_what_is_not_a_reference(root: Path, reference: str) -> None:
    assert "unprintable" in refused(ReferenceReader(10_000, [root]), reference)


def test_pipes_and_loops_neither_hang_nor_are_read(root: Path) -> None:
    os.mkfifo(root / "pipe.png")
    (root / "loop.png").symlink_to("loop.png")
    reader = ReferenceReader(10_000, [root])
    assert "not a regular file" in refused(reader, "pipe.png")
    refused(reader, "loop.png")
    with pytest.raises(ImageReferenceError, match="not a regular file"):
        _open_inside(root, root / "pipe.png")


def test_size_is_looked_at_before_reading(root: Path) -> None:
    with (root / "sparse.png").open("wb") as file:
        file.truncate(10**12)
    size = len(IMAGE)
    assert f"more than {size:,} bytes" in refused(ReferenceReader(size, [root]), "sparse.png")
    assert ReferenceReader(size, [root]).read("a.png") == IMAGE
    assert f"more than {size - 1:,} bytes" in refused(ReferenceReader(size - 1, [root]), "a.png")


@pytest.mark.skipif(os.open not in os.supports_dir_fd, reason="this system has no openat")
def test_a_link_that_appears_after_the_check_is_not_followed(root: Path) -> None:
    """What another process may do between the check of a path and its opening."""
    checked, below = (root / "a.png").resolve(), (root / "sub" / "b.png").resolve()
    checked.unlink()
    checked.symlink_to("../secret.png")
    with pytest.raises(ImageReferenceError, match="not a regular file"):
        _open_inside(root, checked)
    shutil.rmtree(root / "sub")
    (root / "sub").symlink_to("..")
    with pytest.raises(OSError, match=r"."):
        _open_inside(root, below)


@given(st.text(max_size=60))
def test_no_text_leads_outside(tmp_path_factory: pytest.TempPathFactory, reference: str) -> None:
    root = tmp_path_factory.getbasetemp() / "empty-root"
    root.mkdir(exist_ok=True)
    refused(ReferenceReader(10_000, [root]), reference)


# ------------------------------------------------------------------------------------------------ hosts


@pytest.fixture(scope="module")
def host() -> Iterator[ImageHost]:
    with image_host(IMAGE) as running:
        yield running


def fetcher(host: ImageHost, timeout_s: float = 5.0) -> Fetcher:
    return Fetcher(AllowedHosts([f"127.0.0.1:{host.port}"]), 100_000, timeout_s)


def unfetched(one: Fetcher, url: str) -> str:
    with pytest.raises(FetchError) as caught:
        one.fetch(url)
    return str(caught.value)


@pytest.mark.parametrize("path", ["good", "chunked", "close", "good?key=a b&x=%41"])
def test_images_arrive_whole(host: ImageHost, path: str) -> None:
    assert fetcher(host).fetch(host.url(path)) == IMAGE
    assert f"Host: 127.0.0.1:{host.port}".lower().encode() in host.requests[-1].lower()
    assert b"a b" not in host.requests[-1]


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("redirect", "answered 302"),
        ("missing", "answered 404"),
        ("huge", "more than 100,000 bytes"),
        ("endless", "more than 100,000 bytes"),
        ("gzip", "compressed"),
        ("half", "cannot be fetched"),
        ("junk", "cannot be fetched"),
        ("nothing", "cannot be fetched"),
        ("headers", "cannot be fetched"),
    ],
)
def test_hosts_that_misbehave(host: ImageHost, path: str, word: str) -> None:
    assert word in unfetched(fetcher(host), host.url(path))


@pytest.mark.parametrize("path", ["trickle", "crawl", "silent"])
def test_hosts_that_take_their_time(host: ImageHost, path: str) -> None:
    started = time.monotonic()
    assert "within 0.4 s" in unfetched(fetcher(host, 0.4), host.url(path))
    assert time.monotonic() - started < 15  # that it ends at all: each byte alone comes in time


def test_a_name_server_that_takes_its_time() -> None:
    one = Fetcher(AllowedHosts(["camera-1"]), 100, 0.2, resolve=slow_resolver)
    assert "was not found within 0.2 s" in unfetched(one, "http://camera-1/a.png")


def test_a_name_that_leads_to_a_private_address_needs_that_address_listed(host: ImageHost) -> None:
    url = host.url("good", "localhost")
    named = f"localhost:{host.port}"
    assert "which is not a public address" in unfetched(Fetcher(AllowedHosts([named]), 10_000, 5.0), url)
    for address in ("127.0.0.1", "127.0.0.0/8"):
        one = Fetcher(AllowedHosts([named, address]), 10_000, 5.0)
        assert one.fetch(url) == IMAGE
        assert f"Host: {named}".lower().encode() in host.requests[-1].lower()


def test_the_address_that_was_checked_is_the_one_that_is_reached(host: ImageHost) -> None:
    """A name server that answers differently the second time reaches nothing."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])

    def rebinding(_host: str, _port: int) -> Sequence[str]:
        return next(answers)

    one = Fetcher(AllowedHosts([f"camera.example:{host.port}", "127.0.0.1"]), 10_000, 5.0, rebinding)
    assert one.fetch(host.url("good", "camera.example")) == IMAGE
    assert "169.254.169.254" in unfetched(one, host.url("good", "camera.example"))


def test_of_several_addresses_only_allowed_ones_are_tried(host: ImageHost) -> None:
    def several(_host: str, _port: int) -> Sequence[str]:
        return ["10.0.0.1", "::1", "127.0.0.1"]

    one = Fetcher(AllowedHosts([f"camera.example:{host.port}", "127.0.0.1"]), 10_000, 5.0, several)
    assert one.fetch(host.url("good", "camera.example")) == IMAGE


def test_by_tls_the_name_is_what_is_checked(tmp_path: Path) -> None:
    """Although the connection goes to an address."""
    made = make_certificates(tmp_path, names="DNS:camera.example")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(made.server_cert, made.server_key)
    trusting = ssl.create_default_context(cafile=str(made.ca))

    def here(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    with image_host(IMAGE, serving) as host:
        names = [f"{name}:{host.port}" for name in ("camera.example", "other.example")]
        hosts = AllowedHosts([*names, "127.0.0.1"])
        good, other = (f"https://{name}/good" for name in names)
        assert Fetcher(hosts, 10_000, 10.0, here, trusting).fetch(good) == IMAGE
        assert "cannot be fetched" in unfetched(Fetcher(hosts, 10_000, 10.0, here, trusting), other)
        assert "cannot be fetched" in unfetched(Fetcher(hosts, 10_000, 10.0, here), good)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/a", "file:///etc/passwd", "gopher://127.0.0.1/", "http://", "http:///a", "http://[",
        "http://x:99999/", "http://x:0/", "http://user@127.0.0.1/", "http://user:secret@127.0.0.1/", "http://é/",
        "http://[fe80::1%25eth0]/", "HTTP:\\\\127.0.0.1/", "http://127.0.0.1:80:80/",
    ],
)  # fmt: skip
def test_urls_that_are_refused(url: str) -> None:
    reason = unfetched(Fetcher(AllowedHosts(["127.0.0.1", "x", "user"]), 100, 1.0), url)
    assert "secret" not in reason
    assert "image_ref" in reason


@pytest.mark.parametrize(
    "host",
    [
        *(
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "127.1",
            "[::ffff:127.0.0.1]",
            "[::1]",
            "127.0.0.2",
        ),
        *("localhost", "127.0.0.1.", "evil.example", "camera-1.evil.example", "xcamera-1"),
    ],
)
def test_other_ways_to_write_an_address_are_other_hosts(host: str) -> None:
    one = Fetcher(AllowedHosts(["127.0.0.1", "camera-1"]), 100, 1.0)
    assert "is not allowed" in unfetched(one, f"http://{host}/a.png")
