"""What a frame may be: hosts as they may be written."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from adapters.http.hosts import AllowedHosts
from config.sections.inspection import FramesSettings

GOOD = [
    *("camera-1", "camera-1.plant.local", "camera-1:8080", "10.0.0.7", "10.0.0.7:8080", "192.168.10.0/24"),
    *("fd00::/8", "::1", "[::1]:8080", "under_score"),
]
BAD = [
    "",
    "http://camera-1",
    "camera-1/path",
    "user@camera-1",
    "camera-1:0",
    "camera 1",
    "192.168.10.1/24",
    "é",
]


def test_hosts_that_are_entries() -> None:
    assert FramesSettings(allowed_hosts=GOOD).allowed_hosts == GOOD
    AllowedHosts(GOOD)


@pytest.mark.parametrize("entry", BAD)
def test_the_error_for_a_wrong_host_names_its_place(entry: str) -> None:
    with pytest.raises(ValidationError, match="should be NAME"):
        FramesSettings(allowed_hosts=[entry])
    with pytest.raises(ValueError, match="is not a NAME"):
        AllowedHosts([entry])
