"""Fixtures of other rooms that the laboratory is tested with too."""

from tests.adapters.cli.conftest import _logging_as_before, gears, sightline
from tests.adapters.models.conftest import (
    _one_thread,
    convolutional,
    convolutional_files,
    images,
    vit,
    vit_files,
)
from tests.agent.conftest import inspector

__all__ = [
    "_logging_as_before",
    "_one_thread",
    "convolutional",
    "convolutional_files",
    "gears",
    "images",
    "inspector",
    "sightline",
    "vit",
    "vit_files",
]
