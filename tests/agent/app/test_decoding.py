"""Where the agent decodes."""

from __future__ import annotations

import pytest

from adapters.images.header import HeaderError
from adapters.images.worker import DecodeWorker
from agent.app.options import decode_worker, decoder_limits
from agent.telemetry import Counters
from config import Settings
from config.sections.inspection import FramesSettings
from tests.support.mutations import originals


def settings(**frames: object) -> Settings:
    return Settings(frames=FramesSettings.model_validate(frames))


def test_a_process_of_its_own_unless_it_is_switched_off() -> None:
    assert decode_worker(settings(decode_worker=False), Counters()) is None
    worker = decode_worker(settings(max_pixels=3_000), Counters())
    if not DecodeWorker.supported():
        assert worker is None
        return
    assert worker is not None
    with worker:
        with pytest.raises(HeaderError, match="at most 3,000 are decoded"):
            worker(originals()[0])
        assert worker.pid is None, "nothing was decoded, nothing was started"


def test_the_limits_of_a_frame() -> None:
    limits = decoder_limits(settings(max_bytes=7, allowed_hosts=["10.0.0.0/8"], fetch_timeout_s=2))
    assert (limits.max_bytes, limits.allowed_hosts, limits.timeout_s) == (7, ("10.0.0.0/8",), 2.0)
