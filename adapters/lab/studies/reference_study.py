"""How often good references are called outliers or duplicates, and how often those that are so are found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from agent.domain.frame import Image
from agent.enrollment.selection import SelectionPolicy, find_duplicates, select


def recompressed(image: Image) -> Image:
    """The same file saved as JPEG once more, quality 60."""
    _, coded = cv2.imencode(".jpg", image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 60))
    decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])


def halved(image: Image) -> Image:
    """At half the size."""
    height, width = image.shape[:2]
    return np.asarray(cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)


def moved(image: Image) -> Image:
    """A pixel further and half a pixel down."""
    matrix = np.array([[1, 0, 1.0], [0, 1, 0.5]])
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REFLECT), np.uint8)


def exposed_again(image: Image) -> Image:
    """The same part lying still: other noise, 1 % more light."""
    noise = np.random.default_rng(0).normal(0.0, 2.0, image.shape)
    return np.clip(image * 1.01 + noise + 0.5, 0, 255).astype(np.uint8)


COPIES: Mapping[str, Callable[[Image], Image]] = {
    "saved as JPEG again": recompressed,
    "half the size": halved,
    "moved by a pixel": moved,
    "exposed again": exposed_again,
}


@dataclass(frozen=True, slots=True)
class ReferenceStudy:
    """Counts; those of several products are added up."""

    sets: int
    """Of good references only."""
    references: int
    """In them."""
    false_duplicates: int
    false_outliers: int
    copies: int
    copies_found: int
    defective: int
    """Sets with one defective part among the good ones."""
    defective_found: int
    beside_defective: int
    """Good ones called outliers in these."""

    def __add__(self, other: ReferenceStudy) -> ReferenceStudy:
        return ReferenceStudy(
            *(getattr(self, name) + getattr(other, name) for name in ReferenceStudy.__dataclass_fields__)
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        """For people."""

        def share(hits: int, of: int) -> str:
            return f"{hits} of {of}" + (f" ({100 * hits / of:.1f} %)" if of else "")

        return (
            f"good references called duplicates: {share(self.false_duplicates, self.references)}",
            f"good references called outliers: {share(self.false_outliers, self.references)}, "
            f"in {self.sets} sets",
            f"copies found: {share(self.copies_found, self.copies)}",
            f"defective ones among good ones found: {share(self.defective_found, self.defective)}",
            f"good ones called outliers beside them: {self.beside_defective}",
        )


def reference_study(
    leave_one_out: Callable[[Sequence[Image]], Sequence[float]],
    good: Iterable[Image],
    defective: Iterable[Image],
    policy: SelectionPolicy | None = None,
    *,
    shots: int = 10,
) -> ReferenceStudy:
    """Good parts in sets of ``shots``; then each defective part in the last place of one of these sets.

    Args:
        leave_one_out: images to their scores, each against the others as references.
        good: at least ``shots`` good parts; what is left over is not used.

    Raises:
        ValueError: too few good parts.
    """
    policy = policy or SelectionPolicy()
    images = list(good)
    sets = [images[first : first + shots] for first in range(0, len(images) - shots + 1, shots)]
    if not sets:
        raise ValueError(f"a study of sets of {shots} needs as many good parts, not {len(images)}")
    names = [str(index) for index in range(shots)]
    duplicates = outliers = copies = copies_found = 0
    for references in sets:
        duplicates += len(find_duplicates(references, names, policy.duplicate_distance))
        chosen = select(references, names, _of(references, leave_one_out), _keeping(policy))
        outliers += len(chosen.outliers)
        for index, copy in enumerate(COPIES.values()):
            with_copy = [*references, copy(references[index % shots])]
            found = find_duplicates(with_copy, [*names, "copy"], policy.duplicate_distance)
            copies, copies_found = copies + 1, copies_found + any(each.name == "copy" for each in found)
    bad = bad_found = beside = 0
    for index, part in enumerate(defective):
        mixed = [*sets[index % len(sets)][:-1], part]
        found_here = select(mixed, names, _of(mixed, leave_one_out), _keeping(policy)).outliers
        caught = any(each.index == shots - 1 for each in found_here)
        bad, bad_found, beside = bad + 1, bad_found + caught, beside + len(found_here) - caught
    return ReferenceStudy(
        len(sets), len(sets) * shots, duplicates, outliers, copies, copies_found, bad, bad_found, beside
    )


def _keeping(policy: SelectionPolicy) -> SelectionPolicy:
    """The same limits, dropping nothing."""
    return SelectionPolicy(False, False, policy.duplicate_distance, policy.false_report_rate)


def _of(
    images: Sequence[Image], leave_one_out: Callable[[Sequence[Image]], Sequence[float]]
) -> Callable[[Sequence[int]], Sequence[float]]:
    return lambda indices: leave_one_out([images[index] for index in indices])
