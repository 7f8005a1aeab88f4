"""Bad frame messages without end: mutated images, bombs, broken JSON, odd properties; seeded."""

from __future__ import annotations

import base64
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import cv2
import numpy as np

Message = tuple[bytes, dict[str, str], str | None]
"""Payload, user properties, content type: all of it can be sent by MQTT 5."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CONTENT_TYPES = (
    *(None, None, None, "image/jpeg", "image/png", "application/json", "application/octet-stream"),
    *("text/json; charset=utf-16", "image/jpeg; q=0.9", "", "🛠", "application/json" * 20),
)


def mutated_messages(seed: int) -> Iterator[Message]:
    """Messages for a frame topic, most of them bad; the same ones for the same seed.

    Some remain readable (a flipped bit may be a darker pixel), and those may be judged. A frame id is
    missing, odd, or ``mutated-<seed>-<number>``, which no good frame should use. References lead to
    files and hosts that no agent should allow.
    """
    draw = random.Random(seed)
    number = 0
    while True:
        payload = draw.choice(_PAYLOADS)(draw)
        properties = _properties(draw, f"mutated-{seed}-{number}")
        yield payload, properties, draw.choice(_CONTENT_TYPES)
        number += 1


# ----------------------------------------------------------------------------------------- originals


@cache
def originals() -> tuple[bytes, ...]:
    """Drawn images as JPEG (baseline, progressive, restart intervals, grey) and PNG (8 and 16 bits,
    grey, alpha), 64 to 320 pixels wide."""
    images = []
    for index, (width, height) in enumerate([(64, 48), (160, 120), (320, 240)]):
        noise = np.random.default_rng(index).integers(0, 256, (height, width, 3), np.uint8)
        image = cv2.convertScaleAbs(cv2.GaussianBlur(noise, (0, 0), 4), alpha=5.0, beta=-512.0)
        cv2.circle(image, (width // 2, height // 2), height // 3, (40, 80, 200), 3)
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        progressive = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
        images += [
            _encoded(".jpg", image),
            _encoded(".jpg", image, progressive),
            _encoded(".jpg", image, [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]),
            _encoded(".jpg", grey),
            _encoded(".png", image),
            _encoded(".png", grey),
            _encoded(".png", image.astype(np.uint16) * 257),
            _encoded(".png", np.dstack([image, grey])),
        ]
    return tuple(images)


def _encoded(suffix: str, pixels: np.ndarray, options: list[int] | None = None) -> bytes:
    done, content = cv2.imencode(suffix, pixels, options or [])
    assert done
    return content.tobytes()


# ------------------------------------------------------------------------------------ damaged images


def flipped(content: bytes, draw: random.Random) -> bytes:
    """Up to 32 bytes changed."""
    damaged = bytearray(content)
    for _ in range(draw.randint(1, 32)):
        damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    return bytes(damaged)


def truncated(content: bytes, draw: random.Random) -> bytes:
    """The first part."""
    return content[: draw.randrange(1, len(content))]


def spliced(content: bytes, draw: random.Random) -> bytes:
    """The first part of one and the last part of another."""
    other = draw.choice(originals())
    return content[: draw.randrange(2, len(content))] + other[draw.randrange(len(other)) :]


def _lengthened(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(2, len(content))
    return content[:at] + draw.randbytes(draw.randint(1, 2000)) + content[at:]


def _shortened(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(2, len(content))
    return content[:at] + content[at + draw.randint(1, 500) :]


def _repeated(content: bytes, draw: random.Random) -> bytes:
    first, last = sorted(draw.sample(range(len(content)), 2))
    return content[:last] + content[first:last] * draw.randint(1, 3) + content[last:]


def _blanked(content: bytes, draw: random.Random) -> bytes:
    at, length = draw.randrange(len(content)), draw.randint(1, 400)
    return content[:at] + draw.choice((b"\0", b"\xff")) * length + content[at + length :]


def _resized(content: bytes, draw: random.Random) -> bytes:
    """The header claims another size."""
    width, height = (draw.choice((0, 1, 7, 320, 4096, 65_535, 2**31 - 1)) for _ in range(2))
    if content.startswith(SIGNATURE):
        body = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
        return content[:12] + body + struct.pack(">I", zlib.crc32(body)) + content[33:]
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        at = content.find(marker)
        if at > 0:
            size = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
            return content[: at + 5] + size + content[at + 9 :]
    return content


def _marked(content: bytes, draw: random.Random) -> bytes:
    """JPEG markers where none belong."""
    at = draw.randrange(2, len(content))
    marker = bytes((0xFF, draw.choice((0xC0, 0xC1, 0xC2, 0xC4, 0xC9, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xE1))))
    return content[:at] + marker * draw.randint(1, 40) + draw.randbytes(draw.randint(0, 20)) + content[at:]


_DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(flipped, flipped, flipped, truncated, truncated, spliced, spliced),
    *(_lengthened, _shortened, _repeated, _blanked, _resized, _resized, _marked),
)


def damaged_image(draw: random.Random) -> bytes:
    """One to three damages on one of the originals."""
    content = draw.choice(originals())
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        content = draw.choice(_DAMAGES)(content, draw) or b"\xff"
    return content


# ---------------------------------------------------------------------------------- malicious images


def chunk(name: bytes, data: bytes) -> bytes:
    """A PNG chunk with the right checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG whose header claims ``width`` x ``height``, with ``chunks`` between header and end."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return SIGNATURE + header + b"".join(chunks) + chunk(b"IEND", b"")


@cache
def zeros(megabytes: int) -> bytes:
    """A deflate stream that inflates to that many MB of nothing."""
    return zlib.compress(bytes(megabytes * 1_000_000), 9)


def _png_bomb(draw: random.Random) -> bytes:
    claimed = draw.choice(((8, 8), (64, 48), (9_000, 9_000), (40_000, 40_000), (2**31 - 1, 1)))
    pixels = chunk(b"IDAT", zeros(draw.choice((1, 20, 60))))
    extra = draw.choice(
        (
            chunk(b"zTXt", b"Comment\0\0" + zeros(60)),
            chunk(b"iTXt", b"Comment\0\x01\0\0\0" + zeros(60)),
            chunk(b"iCCP", b"profile\0\0" + zeros(60)),
            chunk(b"tEXt", b"k\0v") * draw.randint(1, 3000),
            chunk(b"acTL", struct.pack(">II", 1000, 0)),
            chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 16, 6, 0, 0, 0)),
            chunk(b"PLTE", draw.randbytes(9)) + chunk(b"tRNS", draw.randbytes(300)),
            chunk(b"IDAT", b"") * draw.randint(1, 3000),
            b"",
        )
    )
    return png(*claimed, extra, pixels, depth=draw.choice((1, 3, 8, 16)), colour=draw.choice((0, 2, 3, 5, 6)))


def _jpeg_bomb(draw: random.Random) -> bytes:
    """A progressive JPEG with one of its scans hundreds of times, perhaps with a size to match."""
    content = originals()[draw.choice((1, 9, 17))]
    scan = content.rfind(b"\xff\xda")
    body = content[scan:-2]
    return _resized(content[:scan], draw) + body * draw.choice((20, 120, 300)) + b"\xff\xd9"


@cache
def _other_formats() -> tuple[bytes, ...]:
    image = np.zeros((24, 32, 3), np.uint8)
    return (
        *(_encoded(suffix, image) for suffix in (".bmp", ".tiff", ".webp", ".ppm")),
        *(
            b"GIF89a" + bytes(60),
            b"%PDF-1.7\n",
            b"\0\0\0\x20ftypavif" + bytes(80),
            b"\x1f\x8b\x08" + zeros(1),
        ),
        *(b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"push graphic-context", b"PK\x03\x04" + bytes(40)),
    )


def other_format(draw: random.Random) -> bytes:
    """Bytes that are not a JPEG or PNG, or only begin like one."""
    magic = draw.choice((b"", b"", b"\xff\xd8\xff", SIGNATURE))
    return magic + draw.choice(_other_formats())


def _noise(draw: random.Random) -> bytes:
    magic = draw.choice(
        (b"", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xc0\0\x11\x08", SIGNATURE, b"{", b"[", b"\0")
    )
    return magic + draw.randbytes(draw.choice((0, 1, 3, 40, 400, 5000)))


def image(draw: random.Random) -> bytes:
    """Any of the bad images."""
    return draw.choice((damaged_image, damaged_image, damaged_image, _png_bomb, _jpeg_bomb, other_format))(
        draw
    )


# ------------------------------------------------------------------------------------------------ JSON

_REFERENCES = (
    *(
        "/etc/passwd",
        "../../../../etc/passwd",
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/environ",
        "~/.ssh/id_rsa",
    ),
    *(
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data/",
        "http://2130706433/",
        "http://0x7f.1/",
    ),
    *("http://[::ffff:127.0.0.1]/", "ftp://example.invalid/a", "http://user:secret@example.invalid/a.png"),
    *("..%2f..%2fetc%2fpasswd", "C:\\windows\\system32\\a.png", "\\\\server\\share\\a.png", "a\0b.png", ""),
    *("http://", "http://[", "http://x:99999/", "//example.invalid/a.png", "x" * 5000, "a/" * 2000, "."),
)
_TEXTS = (
    *(
        "M8",
        " M8 ",
        "",
        " ",
        "\0",
        "a\nb",
        "\ud800",
        "\udc80a",
        "\u202egnp.exe",
        "\u2066x",
        "\ufeff",
        "e\u0301",
    ),
    *(
        "../../etc/passwd",
        "a/b",
        "..",
        "CON",
        "$(id)",
        "'; DROP TABLE inspection; --",
        "<script>",
        "%s%n",
        "{0}",
    ),
    *(
        "x" * 255,
        "x" * 256,
        "x" * 20_000,
        "ｆｕｌｌ",
        "零件",
        "🛠" * 200,
        "\u0085",
        "\x7f",
        "NaN",
        "null",
        "0",
    ),
)
_TIMES = (
    *("yesterday", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "1969-12-31", "2026-11-20T25:00:00Z"),
    *("2026-11-20", "2026-W47-5", "20261120T100000Z", "+" * 60, "2" * 5000, "2100-01-01T00:00:00Z"),
)


def _value(draw: random.Random, depth: int = 0) -> object:
    made = draw.randrange(14 if depth < 3 else 10)
    if made < 4:
        return draw.choice(_TEXTS)
    if made < 9:
        return draw.choice(
            (None, True, False, 0, -1, 2**63, 10**400, -(10**30), 1e308, 0.1, float("nan"), 1e-320)
        )
    if made == 9:
        return draw.choice(_TIMES)
    if made < 12:
        return [_value(draw, depth + 1) for _ in range(draw.randint(0, 4))]
    return {draw.choice(_TEXTS[:30]): _value(draw, depth + 1) for _ in range(draw.randint(0, 4))}


def _image_text(draw: random.Random) -> object:
    encoded = base64.b64encode(image(draw)).decode()
    return draw.choice(
        (
            encoded,
            encoded,
            encoded[:-1],
            "data:image/png;base64," + encoded,
            encoded.replace("A", "-").replace("/", "_"),
            "\n".join(encoded[at : at + 76] for at in range(0, len(encoded), 76)),
            "=" * draw.randint(1, 2000),
            "%" + encoded,
            _value(draw),
        )
    )


def _object(draw: random.Random) -> dict[str, object]:
    found: dict[str, object] = {}
    if draw.random() < 0.7:
        found[draw.choice(("image", "image", "image_base64", "img", "data", "frame"))] = _image_text(draw)
    if draw.random() < 0.3:
        found["image_ref"] = draw.choice((*_REFERENCES, _value(draw)))
    for key in ("sku", "frame_id", "part_id", "captured_at", "sequence"):
        if draw.random() < 0.4:
            found[key] = draw.choice(_TIMES) if key == "captured_at" and draw.random() < 0.5 else _value(draw)
    return found


def json_object(draw: random.Random) -> bytes:
    """A frame as JSON with wrong, odd or hostile values."""
    return json.dumps(_object(draw), ensure_ascii=draw.random() < 0.7).encode("utf-8", "surrogatepass")


def json_bomb(draw: random.Random) -> bytes:
    """JSON that is dear to read, or none at all."""
    depth = draw.choice((10, 33, 500, 20_000))
    whole = json_object(draw)
    return draw.choice(
        (
            b"[" * depth,
            b'{"a":' * depth,
            b'{"sku":' + b"[" * depth + b"]" * depth + b"}",
            b'{"sku":"A",' + b",".join(b'"k%d":%d' % (n, n) for n in range(draw.choice((10, 3000)))) + b"}",
            b'{"sequence":' + b"9" * draw.choice((19, 20, 400, 5000)) + b"}",
            b'{"captured_at":1e999,"frame_id":-Infinity,"sku":NaN}',
            b'{"sku":"A","sku":"B","frame_id":"x","frame_id":null}',
            whole[: draw.randrange(len(whole) + 1)],
            whole + whole,
            b"\xef\xbb\xbf" + whole,
            whole.decode("utf-8", "replace").encode("utf-16"),
            b" " * draw.choice((1, 70, 3000)) + whole,
            flipped(whole, draw),
            b'{"image":"' + b"A" * draw.choice((1, 100_001)),
            b'{"sku":"' + b"\\u0041" * draw.choice((10, 20_000)) + b'"}',
            b'"' + b"\\" * draw.choice((1, 10_001)) + b'"',
        )
    )


_PAYLOADS: tuple[Callable[[random.Random], bytes], ...] = (
    *(damaged_image,) * 8,
    *(_png_bomb, _jpeg_bomb, other_format, _noise, _noise),
    *(json_object,) * 5,
    *(json_bomb,) * 3,
)


# ------------------------------------------------------------------------------------------ properties


def _properties(draw: random.Random, name: str) -> dict[str, str]:
    found = {"frame_id": name} if draw.random() < 0.6 else {}
    for key in ("sku", "part_id", "captured_at", "sequence", "frame_id", "image", "image_ref"):
        if draw.random() < 0.12:
            value = draw.choice(_TIMES if key == "captured_at" else (*_TEXTS, *_REFERENCES, "-1", "1e9", "7"))
            found[key] = _sendable(value)
    if draw.random() < 0.05:
        found.update((f"key-{index}", "x") for index in range(200))
    return found


def _sendable(text: str) -> str:
    """Without what MQTT strings cannot hold (OASIS MQTT 5.0, 1.5.4): NUL and halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")
