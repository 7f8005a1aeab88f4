"""``import_open_clip``: the library open_clip, without transformers."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from types import ModuleType
from typing import cast

_importing = threading.Lock()


def import_open_clip() -> ModuleType:
    """open_clip. While it is imported, transformers counts as not installed.

    open_clip imports transformers for text towers from a hub, and does without them where it is missing.
    Sightline refuses such towers, and importing transformers takes longer than all the rest of open_clip.
    A detector that needs it imports it later.
    """
    with _importing:
        if "transformers" in sys.modules or "open_clip" in sys.modules:
            return import_module("open_clip")
        sys.modules["transformers"] = cast(ModuleType, None)  # so Python marks a module that is not there
        try:
            return import_module("open_clip")
        finally:
            del sys.modules["transformers"]
