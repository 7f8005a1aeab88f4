"""What ``inspect`` and ``enroll`` share: references from files, enrolled with a progress bar."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from adapters.cli.images import ImageFile, Unreadable, read
from adapters.cli.screen import stderr
from agent.calibration.threshold import CalibrationPolicy
from agent.domain.errors import SightlineError
from agent.domain.frame import Frame
from agent.domain.recipe import Recipe, Reference
from agent.enrollment.enroll import Enrolled, enroll
from agent.enrollment.orientation import OrientationPolicy, policy_for
from agent.enrollment.selection import SelectionPolicy
from agent.inference.inspector import Inspector
from agent.ports import FrameDecoder, MediaStore
from config import Settings

SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png"}


@dataclass(frozen=True, slots=True)
class Photograph:
    """A reference that could be read."""

    file: ImageFile
    frame: Frame


def read_references(files: Sequence[ImageFile], decoder: FrameDecoder) -> list[Photograph]:
    """The readable ones; the others are named on stderr. Raises SightlineError where none is left."""
    photographs = []
    for file, taken in zip(files, read(files, decoder), strict=True):
        if isinstance(taken, Unreadable):
            stderr().print(f"[yellow]left out:[/] {file.name}: {taken.reason}", markup=True, soft_wrap=True)
        else:
            photographs.append(Photograph(file, taken))
    if not photographs:
        raise SightlineError("none of the references can be read as an image")
    return photographs


def unstored(photographs: Sequence[Photograph]) -> tuple[Reference, ...]:
    """References of photographs that stay where they are."""
    return tuple(
        Reference(hashlib.sha256(one.frame.encoded).hexdigest(), str(one.file.path), one.file.name)
        for one in photographs
    )


def stored(photographs: Sequence[Photograph], media: MediaStore) -> tuple[Reference, ...]:
    """References of photographs that were copied to the media folder. Raises StorageError."""
    references = []
    for one in photographs:
        path = media.put(one.frame.encoded, SUFFIXES[one.frame.media_type])
        references.append(Reference(Path(path).stem, path, one.file.name))
    return tuple(references)


def pose_policy(settings: Settings) -> OrientationPolicy | None:
    """When references are memorised turned; None where the configuration says it for all products."""
    return policy_for(settings.references.rotations, settings.references.directions)


def enroll_images(
    inspector: Inspector, recipe: Recipe, photographs: Sequence[Photograph], settings: Settings
) -> Enrolled:
    """Memorise and calibrate, with a progress bar where a person waits.

    Args:
        recipe: with one reference for each photograph, in their order.
    """
    inspection = settings.inspection
    policy = CalibrationPolicy(inspection.false_alarm_rate, inspection.review_factor)
    console = stderr()
    columns = (TextColumn("enrolling"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(photographs))
        enrolled = enroll(
            inspector,
            recipe,
            [photograph.frame.image for photograph in photographs],
            policy=policy,
            selection=SelectionPolicy(
                drop_duplicates=settings.references.duplicates == "drop",
                exclude_outliers=settings.references.outliers == "exclude",
            ),
            orientation=pose_policy(settings),
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    for sentence in enrolled.selection.sentences if enrolled.selection is not None else ():
        console.print(f"[yellow]{escape(sentence)}[/]", soft_wrap=True)
    return enrolled
