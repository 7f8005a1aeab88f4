"""The files of a model that is measured, and how its network is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from adapters.models.encoders.clip import STRIDES, OpenClipEncoder
from adapters.models.encoders.normalisation import SIGNED_PREPROCESSING


@dataclass(frozen=True, slots=True)
class Files:
    """What the model is loaded from."""

    architecture: Path
    checkpoint: Path | None
    """None: random weights."""
    output_stride: int | None = None
    strides: tuple[int, ...] = STRIDES

    def encoder(self, name: str | None = None) -> OpenClipEncoder:
        """Raises ModelError: a file is missing, damaged or of another architecture."""
        return OpenClipEncoder(
            self.architecture,
            self.checkpoint,
            SIGNED_PREPROCESSING,
            name=name,
            output_stride=self.output_stride,
            strides=self.strides,
        )
