"""Dataset formats: how published datasets lie on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from adapters.evaluation.dataset import Category
from adapters.evaluation.formats.folder import folder
from adapters.evaluation.formats.mvtec import btad, mpdd, mvtec
from adapters.evaluation.formats.surfaces import dagm, ksdd, mtd
from adapters.evaluation.formats.visa import visa

FORMATS: Mapping[str, Callable[[Path], list[Category]]] = {
    "mvtec": mvtec,
    "visa": visa,
    "mtd": mtd,
    "btad": btad,
    "mpdd": mpdd,
    "ksdd": ksdd,
    "dagm": dagm,
    "folder": folder,
}
"""Readers by name. Each raises ConfigurationError if a folder has another layout."""

__all__ = ["FORMATS"]
