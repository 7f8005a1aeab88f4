"""An unusable message becomes an ERROR row or an event; its neighbours are judged, nothing stops."""

from __future__ import annotations

import json
import struct
import zlib

from tests.fixtures.mosquitto import StartMosquitto
from tests.system.conftest import StartAgent, rows
from tests.system.images import drawn
from tests.system.subscriber import Subscriber

BASE = "factory/line-1/cam-1"


def _huge_png_header() -> bytes:
    """A PNG that claims 40,000 x 40,000 pixels and holds almost none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def test_bad_frames_end_as_errors_between_good_ones(
    sqlite_url: str, start_mosquitto: StartMosquitto, start_agent: StartAgent
) -> None:
    good = list(drawn("gear", 8))
    bad = [
        b"this is not an image",
        good[0].encoded[: len(good[0].encoded) // 2],
        _huge_png_header(),
        json.dumps({"frame_id": "no-image", "sku": "gear"}).encode(),
        json.dumps({"frame_id": "long-sku", "sku": "x" * 300, "image": "AAAA"}).encode(),
        b"",
        b"{" * 100_000,
    ]
    broker = start_mosquitto()
    agent = start_agent(broker.url, sqlite_url)
    with Subscriber(broker.url, f"{BASE}/verdict", "factory/sightline/+/status") as customer:
        customer.wait_for(lambda s: bool(s.of("status")), 60, "the agent's birth")
        customer.publish(f"{BASE}/sku", json.dumps({"sku": "gear"}).encode(), retain=True)
        for index, item in enumerate(good):
            customer.publish(f"{BASE}/frame", item.encoded)
            if index < len(bad):
                customer.publish(f"{BASE}/frame", bad[index])
        customer.publish(f"{BASE}/feedback", b"not json")
        customer.publish(f"{BASE}/sku", b'{"sku": ["gear"]}')
        total = len(good) + len(bad)
        customer.wait_for(lambda s: len(s.of("verdict")) == total, 60, f"{total} verdicts")
        # An equal image, no redelivery: another part that looks the same.
        customer.publish(f"{BASE}/frame", good[0].encoded)
        customer.wait_for(lambda s: len(s.of("verdict")) == total + 1, 30, "the verdict on the last frame")
        assert agent.stop() == 0
    found = rows(sqlite_url, "SELECT verdict, reason, sku FROM inspection_history")
    assert len(found) == total + 1
    errors = [row for row in found if row["verdict"] == "ERROR"]
    assert len(errors) == len(bad)
    assert all(row["reason"] for row in errors)
    events = {row["kind"] for row in rows(sqlite_url, "SELECT kind FROM event")}
    assert {"bad-feedback", "bad-sku"} <= events
