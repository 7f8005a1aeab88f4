"""What the oracle saw, by family, by defect and by station, as text and for JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from sklearn.metrics import roc_auc_score

from adapters.simulator.image import VISIBLE_LAB

SEEN = 0.5
"""Below this share of seen defects a kind is listed as one that the oracle does not see."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A good part and its defective twin, as the oracle scores them."""

    family: str
    defect: str
    station: str
    good: float
    """Score of the good image."""
    bad: float
    """Score of the defective one."""
    seen: bool
    """Whether the masked places score above the 95th percentile of the good twin's places."""
    visibility: float
    """Mean CIE Lab distance between the two images under the mask."""
    share: float
    """Of the image that the mask covers."""
    compared: bool | None = None
    """The same as ``seen`` for distances to good parts of the same product at the same station, as few-shot
    use has it: a part that is missing leaves nothing odd behind. None where the station is none."""


@dataclass(frozen=True, slots=True)
class Line:
    """One family, defect or station, or both of the first two."""

    name: str
    pairs: int
    auroc: float
    """Of good against defective images, across products."""
    twins: float
    """Share of pairs whose defective image scores above the good one."""
    seen: float
    compared: float | None
    """Share of the pairs that could be compared; None where none could."""
    visibility: float
    """The median."""
    invisible: float
    """Share of pairs with a visibility below ``VISIBLE_LAB``."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "pairs": self.pairs,
            "auroc": self.auroc,
            "twins": self.twins,
            "seen": self.seen,
            "compared": self.compared,
            "visibility": self.visibility,
            "invisible": self.invisible,
        }


def line(name: str, pairs: Sequence[Judged]) -> Line:
    """The figures of some pairs, one or more."""
    truth = [0] * len(pairs) + [1] * len(pairs)
    scores = [pair.good for pair in pairs] + [pair.bad for pair in pairs]
    compared = [pair.compared for pair in pairs if pair.compared is not None]
    return Line(
        name,
        len(pairs),
        float(roc_auc_score(truth, scores)),
        sum(pair.bad > pair.good for pair in pairs) / len(pairs),
        sum(pair.seen for pair in pairs) / len(pairs),
        sum(compared) / len(compared) if compared else None,
        median(pair.visibility for pair in pairs),
        sum(pair.visibility < VISIBLE_LAB for pair in pairs) / len(pairs),
    )


def lines_by(pairs: Iterable[Judged], key: Callable[[Judged], str]) -> list[Line]:
    """The figures of each group, the best seen first."""
    groups: dict[str, list[Judged]] = defaultdict(list)
    for pair in pairs:
        groups[key(pair)].append(pair)
    found = [line(name, group) for name, group in groups.items()]
    return sorted(found, key=lambda one: (-one.seen, -one.auroc, one.name))


@dataclass(frozen=True, slots=True)
class Report:
    """All tables of one run."""

    total: Line
    families: list[Line]
    defects: list[Line]
    stations: list[Line]
    each: list[Line]
    """By defect and family."""

    @classmethod
    def of(cls, pairs: Sequence[Judged]) -> Report:
        """The tables of the judged pairs, one or more."""
        return cls(
            line("all", pairs),
            lines_by(pairs, lambda pair: pair.family),
            lines_by(pairs, lambda pair: pair.defect),
            lines_by(pairs, lambda pair: pair.station),
            lines_by(pairs, lambda pair: f"{pair.defect} / {pair.family}"),
        )

    @property
    def unseen(self) -> list[Line]:
        """Defects of a family that the head does not see for the most part, the worst first."""
        return [one for one in reversed(self.each) if one.seen < SEEN]

    @property
    def hidden(self) -> list[Line]:
        """Of these, what does not stand out beside good parts either: look at it, and improve the image."""
        return [one for one in self.unseen if one.compared is not None and one.compared < SEEN]

    @property
    def invisible(self) -> list[Line]:
        """Of the unseen, what the eye has nothing to go by either: a caption must not claim it."""
        return [one for one in self.unseen if one.invisible > 0.5]

    def markdown(self) -> str:
        """The tables as people read them."""
        parts = [
            _table("Family", [*self.families, self.total]),
            _table("Defect", self.defects),
            _table("Station", self.stations),
            _table(f"Seen in less than {SEEN:.0%} of pairs", self.unseen),
            f"Not beside good parts either: {_named(self.hidden)}.",
            f"Neither the oracle nor the eye sees: {_named(self.invisible)}.",
        ]
        return "\n\n".join(parts) + "\n"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "all": self.total.as_dict(),
            **{
                title: {one.name: one.as_dict() for one in lines}
                for title, lines in (
                    ("families", self.families),
                    ("defects", self.defects),
                    ("stations", self.stations),
                    ("each", self.each),
                )
            },
            "unseen": [one.name for one in self.unseen],
            "hidden": [one.name for one in self.hidden],
            "invisible": [one.name for one in self.invisible],
        }


def _table(title: str, lines: Sequence[Line]) -> str:
    rows = [
        f"| {title} | pairs | AUROC | above twin | seen | beside good ones | Lab, median "
        f"| Lab < {VISIBLE_LAB:g} |",
        "|---" * 8 + "|",
    ]
    rows += [
        f"| {one.name} | {one.pairs} | {one.auroc:.3f} | {one.twins:.2f} | {one.seen:.2f} "
        f"| {'-' if one.compared is None else format(one.compared, '.2f')} "
        f"| {one.visibility:.1f} | {one.invisible:.2f} |"
        for one in lines
    ]
    return "\n".join(rows)


def _named(lines: Sequence[Line]) -> str:
    return ", ".join(one.name for one in lines) or "nothing of all this"
