"""``Models``: what an evaluation measures, and the models it is measured beside: untrained, and a teacher."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from adapters.lab.evaluation.judging import AsTheAgent, OncePerBatch
from adapters.lab.evaluation.report import MODEL, TEACHER
from adapters.lab.evaluation.scorers import HAND_MADE, RANDOM, HandMade, Neighbours, Outlier
from adapters.lab.evaluation.trials import Scorer
from adapters.lab.training.networks import ARCHITECTURE
from adapters.models.encoders.backbone import TimmBackbone
from adapters.models.encoders.clip import OpenClipEncoder
from adapters.models.encoders.normalisation import SIGNED_PREPROCESSING, Preprocessing
from adapters.models.registry import BUNDLED, KNOWN, bundled_folder
from adapters.models.weights.catalogue import TIMM_PREFIX, timm_network
from adapters.models.weights.local import sha256_of
from agent.domain.errors import ModelError

RANDOM_SEED = 0


@dataclass(frozen=True, slots=True)
class Files:
    """What the measured model is loaded from."""

    architecture: Path
    checkpoint: Path | None
    """None: random weights."""
    output_stride: int | None = None

    def encoder(self, name: str | None = None) -> OpenClipEncoder:
        """Raises ModelError: a file is missing, damaged or of another architecture."""
        return OpenClipEncoder(
            self.architecture,
            self.checkpoint,
            SIGNED_PREPROCESSING,
            name=name,
            output_stride=self.output_stride,
        )


def random_encoder(files: Files, seed: int) -> OpenClipEncoder:
    """The measured architecture with random weights, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return replace(files, checkpoint=None).encoder(RANDOM)


@dataclass(frozen=True, slots=True)
class Models:
    """The checkpoint, and the teacher if there is one."""

    files: Files
    tiny: OpenClipEncoder
    teacher: TimmBackbone | None

    def scorers(self, *, controls: bool, pixels: bool) -> list[Scorer]:
        """The checkpoint as the agent uses it and by plain nearest neighbours, and the controls beside it."""
        own = OncePerBatch(self.tiny)
        found: list[Scorer] = [AsTheAgent(own, pixels=pixels), Neighbours(MODEL, own)]
        if not controls:
            return found
        untrained = OncePerBatch(random_encoder(self.files, RANDOM_SEED))
        found += [AsTheAgent(untrained, f"agent on {RANDOM}"), Neighbours(RANDOM, untrained)]
        found += [Neighbours(HAND_MADE, HandMade()), Outlier()]
        if self.teacher is not None:
            found.append(Neighbours(self.teacher_title, self.teacher))
        return found

    @property
    def teacher_title(self) -> str:
        """The title of its row."""
        name = "" if self.teacher is None else self.teacher.name.removeprefix(TIMM_PREFIX)
        return TEACHER if name == ARCHITECTURE else name

    @property
    def digests(self) -> dict[str, Any]:
        """sha256 of the files that the measured model is made of."""
        return {"checkpoint": self.tiny.digest, "architecture": sha256_of(self.files.architecture)}


def bundled_files(checkpoint: Path | None = None, architecture: Path | None = None) -> Files:
    """The bundled model's files, or others of its kind."""
    known = KNOWN[BUNDLED]
    return Files(
        architecture or bundled_folder() / known.architecture,
        checkpoint or bundled_folder() / known.file_name,
        known.output_stride,
    )


def load_models(
    files: Files,
    teacher: Path | None,
    architecture: str = ARCHITECTURE,
    preprocessing: Preprocessing | None = None,
) -> Models:
    """``architecture``: what timm calls the teacher's; ``preprocessing``: None for what is known of it.

    Raises ModelError: a file is missing, damaged or of another architecture.
    """
    for path in (files.architecture, files.checkpoint, teacher):
        if path is not None and not path.is_file():
            raise ModelError(f"there is no file {path}; check --checkpoint, --architecture and --teacher")
    tiny = files.encoder()
    if teacher is None:
        return Models(files, tiny, None)
    name, known = timm_network(architecture)
    return Models(files, tiny, TimmBackbone(name, teacher, preprocessing or known))
