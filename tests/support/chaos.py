"""For the tests of the campaigns: what is not on this machine is skipped, with its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from tests.chaos.plant import NotHereError

T = TypeVar("T")


def play(campaign: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """What a campaign or its plant returns; the test is skipped if it cannot be played here."""
    try:
        return campaign(*arguments, **options)
    except NotHereError as reason:
        pytest.skip(str(reason))
