"""``read_references`` and ``enroll_images``: references from files, for ``inspect`` and ``enroll``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.cli.images import ImageFile, ImageFolder
from adapters.cli.progress import StepProgress
from adapters.cli.screen import plain, stderr
from agent.app.options import calibration_policy, orientation_policy, selection_policy
from agent.domain.errors import SightlineError
from agent.domain.frame import SUFFIX_OF, Image
from agent.domain.names import visible
from agent.domain.recipe import Recipe, Reference, template_recipe
from agent.enrollment.enroll import Enrolled, enroll
from agent.enrollment.orientation import OrientationPolicy
from agent.enrollment.selection import SelectionPolicy
from agent.inference.inspector import Inspector
from agent.inference.reference_images import ReferenceImages
from agent.onboarding.naming import name_defects
from agent.ports import MediaStore
from config import Settings


@dataclass(frozen=True, slots=True)
class FolderReferences:
    """The references of a folder that could be read."""

    folder: ImageFolder
    indices: tuple[int, ...]
    """Which of its files they are."""
    images: ReferenceImages

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def files(self) -> list[ImageFile]:
        return [self.folder.files[index] for index in self.indices]

    def unstored(self) -> tuple[Reference, ...]:
        """References to images that stay in their folder. Raises SightlineError."""
        return tuple(
            Reference(
                hashlib.sha256(self.folder.encoded(index)[0]).hexdigest(), str(file.path), visible(file.name)
            )
            for index, file in zip(self.indices, self.files, strict=True)
        )

    def stored(self, media: MediaStore) -> tuple[Reference, ...]:
        """References of images that were copied to the media folder. Raises SightlineError."""
        references = []
        for index, file in zip(self.indices, self.files, strict=True):
            content, media_type = self.folder.encoded(index)
            path = media.put(content, SUFFIX_OF[media_type])
            references.append(Reference(Path(path).stem, path, visible(file.name)))
        return tuple(references)


class _FolderImages:
    """The images of a folder as a source of references."""

    def __init__(self, folder: ImageFolder) -> None:
        self._folder = folder

    def read(self, index: int) -> Image:
        return self._folder.frame(index).image


def read_references(folder: ImageFolder, inspector: Inspector, method: str) -> FolderReferences:
    """The readable ones, with progress; the others are named on stderr.

    They are held as ``method`` needs them. Raises SightlineError if none is left.
    """
    images = ReferenceImages(_FolderImages(folder), len(folder))
    images.need(inspector.reference_side(template_recipe("references", method)))
    indices = []
    with StepProgress() as progress:
        progress.step("reading references", len(folder))
        for index, file in enumerate(folder.files):
            try:
                _ = images[index]
                indices.append(index)
            except SightlineError as error:
                sentence = f"[yellow]left out:[/] {plain(file.name)}: {plain(str(error))}"
                stderr().print(sentence, soft_wrap=True)
            progress.advance()
    if not indices:
        raise SightlineError("none of the references can be read as an image")
    return FolderReferences(folder, tuple(indices), images.only(indices))


def enroll_images(
    inspector: Inspector, recipe: Recipe, images: ReferenceImages, settings: Settings
) -> Enrolled:
    """Memorise and calibrate, with progress.

    Args:
        recipe: with one reference for each image, in their order.
    """
    enrolled = enroll_stored(
        inspector,
        recipe,
        images,
        settings,
        selection=selection_policy(settings),
        orientation=orientation_policy(settings),
    )
    for sentence in enrolled.selection.sentences if enrolled.selection is not None else ():
        stderr().print(f"[yellow]{plain(sentence)}[/]", soft_wrap=True)
    return enrolled


def enroll_stored(
    inspector: Inspector,
    recipe: Recipe,
    images: Sequence[Image],
    settings: Settings,
    *,
    selection: SelectionPolicy | None = None,
    orientation: OrientationPolicy | None = None,
) -> Enrolled:
    """The same with references that are chosen already: none is left out, and none is rotated anew."""
    with StepProgress() as progress:
        enrolled = enroll(
            inspector,
            recipe,
            images,
            policy=calibration_policy(settings),
            selection=selection,
            orientation=orientation,
            progress=progress,
        )
        return name_defects(inspector, enrolled, images)
