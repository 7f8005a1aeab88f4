"""A fresh process that loads the model once and prints how long it took, as one line of JSON.

A file of its own: nothing may be imported before its clock starts.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main(architecture: str, checkpoint: str, output_stride: str) -> None:
    """Seconds for the imports and for the model, each from the start of its own."""
    started = time.perf_counter()
    # The encoder asks for these when it builds its model; they are libraries all the same.
    import open_clip  # noqa: F401
    import timm  # noqa: F401

    from adapters.models.encoders.clip import OpenClipEncoder
    from adapters.models.encoders.normalisation import SIGNED_PREPROCESSING

    imported = time.perf_counter()
    stride = int(output_stride) or None
    OpenClipEncoder(Path(architecture), Path(checkpoint), SIGNED_PREPROCESSING, output_stride=stride)
    loaded = time.perf_counter()
    sys.stdout.write(json.dumps({"import_s": imported - started, "load_s": loaded - imported}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
