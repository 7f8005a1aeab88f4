"""``enroll_images``: references from files, enrolled with a progress bar, for ``inspect`` and ``enroll``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from adapters.cli.images import ImageFile, Unreadable, read
from adapters.cli.screen import plain, stderr
from agent.app.options import calibration_policy, orientation_policy, selection_policy
from agent.domain.errors import SightlineError
from agent.domain.frame import SUFFIX_OF, Frame
from agent.domain.names import visible
from agent.domain.recipe import Recipe, Reference
from agent.enrollment.enroll import Enrolled, enroll
from agent.inference.inspector import Inspector
from agent.onboarding.naming import name_defects
from agent.ports import FrameDecoder, MediaStore
from config import Settings


@dataclass(frozen=True, slots=True)
class ReferenceImage:
    """A reference that could be read."""

    file: ImageFile
    frame: Frame


def read_references(files: Sequence[ImageFile], decoder: FrameDecoder) -> list[ReferenceImage]:
    """The readable ones; the others are named on stderr. Raises SightlineError if none is left."""
    images = []
    for file, taken in zip(files, read(files, decoder), strict=True):
        if isinstance(taken, Unreadable):
            stderr().print(f"[yellow]left out:[/] {plain(file.name)}: {plain(taken.reason)}", soft_wrap=True)
        else:
            images.append(ReferenceImage(file, taken))
    if not images:
        raise SightlineError("none of the references can be read as an image")
    return images


def unstored(images: Sequence[ReferenceImage]) -> tuple[Reference, ...]:
    """References to images that stay in their folder."""
    return tuple(
        Reference(hashlib.sha256(one.frame.encoded).hexdigest(), str(one.file.path), visible(one.file.name))
        for one in images
    )


def stored(images: Sequence[ReferenceImage], media: MediaStore) -> tuple[Reference, ...]:
    """References of images that were copied to the media folder. Raises StorageError."""
    references = []
    for one in images:
        path = media.put(one.frame.encoded, SUFFIX_OF[one.frame.media_type])
        references.append(Reference(Path(path).stem, path, visible(one.file.name)))
    return tuple(references)


def enroll_images(
    inspector: Inspector, recipe: Recipe, images: Sequence[ReferenceImage], settings: Settings
) -> Enrolled:
    """Memorise and calibrate, with a progress bar on a terminal.

    Args:
        recipe: with one reference for each image, in their order.
    """
    console = stderr()
    columns = (TextColumn("enrolling"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(images))
        pixels = [image.frame.image for image in images]
        enrolled = enroll(
            inspector,
            recipe,
            pixels,
            policy=calibration_policy(settings),
            selection=selection_policy(settings),
            orientation=orientation_policy(settings),
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
        enrolled = name_defects(inspector, enrolled, pixels)
    for sentence in enrolled.selection.sentences if enrolled.selection is not None else ():
        console.print(f"[yellow]{plain(sentence)}[/]", soft_wrap=True)
    return enrolled
