"""select(): which images of good parts become references; near-duplicates and outliers are named."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Self

from scipy.special import stdtrit

from agent.domain.frame import Image
from agent.enrollment.near_duplicates import ImageSimilarity

LEAST_FOR_OUTLIERS = 6
"""Among fewer references none is called unusual: the others do not define what is usual."""

_LEAST_SPREAD = 0.02
"""Smallest deviation of log scores that is accepted: good parts never score within 2 % of each other."""


@dataclass(frozen=True, slots=True)
class SelectionPolicy:
    """What to do with references that add nothing new, and with those that do not fit.

    The two limits were chosen on drawn products (``adapters/lab/studies/RESULTS.md`` shows what they give).
    """

    drop_duplicates: bool = True
    exclude_outliers: bool = True
    duplicate_distance: float = 0.25
    """Two images closer than this share of the typical distance between references count as one."""
    false_report_rate: float = 0.01
    """Share of sets of good references in which one is called an outlier, if log scores are normal."""
    examine: bool = True
    """False: nothing is looked for; all of these references were selected before, or a person chose them."""
    confirmed: frozenset[str] = frozenset()
    """sha256 of references that a person called good in production. They are neither duplicates nor outliers,
    and one that the others would FAIL does not set the threshold (:mod:`agent.enrollment.counting`)."""

    @classmethod
    def keeping_all(cls, confirmed: Collection[str]) -> Self:
        """Nothing is looked for, and nothing left out."""
        return cls(examine=False, confirmed=frozenset(confirmed))

    def __post_init__(self) -> None:
        if not 0.0 <= self.duplicate_distance < 1.0:
            raise ValueError(f"duplicate_distance is a share, 0 up to 1, not {self.duplicate_distance}")
        if not 0.0 < self.false_report_rate < 0.5:
            raise ValueError(f"false_report_rate is between 0 and 0.5, not {self.false_report_rate}")


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An image that shows the same as an earlier one."""

    index: int
    name: str
    original: str
    """The name of the earlier one."""


@dataclass(frozen=True, slots=True)
class Outlier:
    """An image that is farther from the other references than good parts are."""

    index: int
    name: str
    score: float
    """Leave-one-out anomaly score."""
    usual: float
    """Median score of the references."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What became of the images that were offered as references."""

    kept: tuple[int, ...]
    """Indices of the references, in the order in which they were offered."""
    duplicates: tuple[Duplicate, ...]
    outliers: tuple[Outlier, ...]
    policy: SelectionPolicy
    scores: tuple[float, ...] | None
    """Leave-one-out scores of ``kept``; None if an outlier was excluded, since they no longer hold."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """One sentence for each finding, for events and for people; empty without a finding."""
        done = "was left out" if self.policy.drop_duplicates else "was kept all the same"
        found = [f"reference {d.name!r} shows the same as {d.original!r} and {done}" for d in self.duplicates]
        done = "was left out" if self.policy.exclude_outliers else "was kept"
        found += [
            f"reference {o.name!r} does not look like the others (score {o.score:.3g}, usual {o.usual:.3g}) "
            f"and {done}; if it is a good part, more references like it are needed"
            for o in self.outliers
        ]
        return tuple(found)


LeaveOneOut = Callable[[Sequence[int]], Sequence[float]]
"""Indices of images to scores: of each against the others among them, as if it had not been enrolled."""


def select(
    images: Sequence[Image],
    names: Sequence[str],
    leave_one_out: LeaveOneOut,
    policy: SelectionPolicy | None = None,
    confirmed: Collection[int] = (),
) -> Selection:
    """Find duplicates first, then outliers among the rest. The result names everything that is dropped.

    Those that are ``confirmed``, by index, are neither.

    Raises:
        ValueError: not one name for each image, or not one finite score for each image.
    """
    policy = policy or SelectionPolicy()
    duplicates = tuple(
        each
        for each in find_duplicates(images, names, policy.duplicate_distance)
        if each.index not in confirmed
    )
    gone = {each.index for each in duplicates} if policy.drop_duplicates else set()
    kept = [index for index in range(len(images)) if index not in gone]
    if len(kept) < 2:
        return Selection(tuple(kept), duplicates, (), policy, None)
    scores = list(leave_one_out(kept))
    if len(scores) != len(kept) or not all(math.isfinite(score) for score in scores):
        raise ValueError(f"{len(kept)} references need as many finite scores, not {scores}")
    usual = median(scores)
    found = [
        Outlier(kept[i], names[kept[i]], scores[i], usual)
        for i in unusual(scores, policy.false_report_rate)
        if kept[i] not in confirmed
    ]
    if found and policy.exclude_outliers:
        excluded = {each.index for each in found}
        remaining = tuple(index for index in kept if index not in excluded)
        return Selection(remaining, duplicates, tuple(found), policy, None)
    return Selection(tuple(kept), duplicates, tuple(found), policy, tuple(scores))


def find_duplicates(
    images: Sequence[Image], names: Sequence[str], duplicate_distance: float = 0.25
) -> tuple[Duplicate, ...]:
    """Images that show the same as an earlier one: encoded again, shifted a little, noisier, brighter.

    How alike two different parts look depends on the station, so distances are compared with the typical one
    between these images; see :class:`agent.enrollment.near_duplicates.ImageSimilarity`.

    Raises:
        ValueError: not one name for each image.
    """
    if len(names) != len(images):
        raise ValueError(f"{len(images)} images need as many names, not {len(names)}")
    found: list[Duplicate] = []
    similarity = ImageSimilarity(images)
    gone: set[int] = set()
    for index in range(1, len(images)):
        for earlier in similarity.candidates(index):
            if earlier not in gone and similarity.same(index, earlier, duplicate_distance):
                found.append(Duplicate(index, names[index], names[earlier]))
                gone.add(index)
                break
    return tuple(found)


def unusual(scores: Sequence[float], false_report_rate: float = 0.01) -> list[int]:
    """Indices of the scores that are too high to belong to the others; at most a quarter of them.

    The generalized extreme Studentized deviate test (Rosner 1983, Technometrics 25, equation 3.1) on log
    scores, upper side only. It finds several outliers, which hide each other from a test for one. Its limits
    are exact for few samples. Those of median and MAD are not: among ten normal values they find one beyond
    3.5 deviations in every seventh set.
    """
    n = len(scores)
    if n < LEAST_FOR_OUTLIERS:
        return []
    logs = [math.log(max(score, 1e-9)) for score in scores]
    order = sorted(range(n), key=lambda index: -logs[index])
    count = 0
    for suspected in range(1, max(1, n // 4) + 1):
        rest = [logs[index] for index in order[suspected - 1 :]]
        m = len(rest)
        deviate = (rest[0] - fmean(rest)) / max(stdev(rest), _LEAST_SPREAD)
        quantile = float(stdtrit(m - 2, 1.0 - false_report_rate / m))
        limit = (m - 1) * quantile / math.sqrt((m - 2 + quantile**2) * m)
        if deviate > limit:
            count = suspected
    return sorted(order[:count])
