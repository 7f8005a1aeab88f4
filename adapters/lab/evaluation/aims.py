"""Aims: what the bundled model has to reach, and whether it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapters.lab.evaluation.controls import WITHOUT_TEACHER
from adapters.lab.evaluation.family_tables import Results, family_figure
from adapters.lab.evaluation.figures import Figure
from adapters.lab.evaluation.photograph_tables import photograph_figure
from adapters.lab.evaluation.products import is_surface
from adapters.lab.evaluation.tables import Row, Table
from adapters.lab.evaluation.word_tables import Spoken, word_figure
from adapters.simulator import FAMILIES, HELD_OUT

MODEL = "nearest neighbours"
TEACHER = "MobileNetV2"
LEVEL = 0.01
"""So far below the teacher is level with it."""

HELD = tuple(family for family in FAMILIES if family in HELD_OUT)


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure and the least it has to be; with ``clearly`` its whole interval lies above."""

    title: str
    least: float
    figure: Figure | None
    clearly: bool = False

    @property
    def state(self) -> str:
        """``met``, ``missed`` or ``not measured``."""
        if self.figure is None:
            return "not measured"
        low = self.figure.low if self.clearly else self.figure.value
        return "met" if low is not None and self._reached(low) else "missed"

    def _reached(self, value: float) -> bool:
        return value > self.least if self.clearly else value >= self.least

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        figure = None if self.figure is None else self.figure.as_dict()
        return {"aim": self.title, "least": self.least, "figure": figure, "state": self.state}


def aims(families: Results, photographs: Results, words: Sequence[Spoken], seed: int) -> list[Aim]:
    """Every aim, also those that were not measured."""
    return [*_family_aims(families, seed), *_photograph_aims(photographs, seed), *_word_aims(words, seed)]


def _family_aims(results: Results, seed: int) -> list[Aim]:
    surfaces = [family for family in HELD if is_surface(family)]
    wanted = [
        ("held-out families, fixed station, 4-shot", "fixed", HELD, "agent 4-shot", 0.97),
        ("held-out families, loose station, 4-shot", "loose", HELD, "agent 4-shot", 0.92),
        ("held-out families, fixed station, zero-shot", "fixed", HELD, "agent 0-shot", 0.80),
        ("held-out families, loose station, zero-shot", "loose", HELD, "agent 0-shot", 0.80),
        ("held-out surfaces, fixed station, zero-shot", "fixed", surfaces, "agent 0-shot", 0.95),
        ("held-out surfaces, loose station, zero-shot", "loose", surfaces, "agent 0-shot", 0.95),
    ]
    return [
        Aim(
            title,
            least,
            family_figure([one for one in results if one["station"] == station], families, column, seed),
        )
        for title, station, families, column, least in wanted
    ]


def _photograph_aims(results: Results, seed: int) -> list[Aim]:
    own = f"{MODEL} 4-shot"
    found = []
    for control in WITHOUT_TEACHER:
        shots = 0 if control.startswith("outlier") else 4
        lead = photograph_figure(results, own, seed, less=f"{control} {shots}-shot")
        found.append(Aim(f"photographs, 4-shot, lead over {control}", 0.0, lead, clearly=True))
    lead = photograph_figure(results, own, seed, less=f"{TEACHER} 4-shot")
    return [*found, Aim(f"photographs, 4-shot, lead over {TEACHER}", -LEVEL, lead)]


def _word_aims(results: Sequence[Spoken], seed: int) -> list[Aim]:
    figure = word_figure(results, HELD, "true over other", seed)
    title = "held-out families, the true defect named over another, more often than by chance"
    return [Aim(title, 0.5, figure, clearly=True)]


def aims_table(every: Sequence[Aim]) -> Table:
    """Met or missed, one line each."""
    rows = tuple(
        Row(
            aim.title,
            (f"above {aim.least:.2f}" if aim.clearly else f"{aim.least:.2f}", _shown(aim), aim.state),
        )
        for aim in every
    )
    note = (
        "An aim is met where the mean reaches it, and a lead `above` a figure where its whole interval does. "
        f"Leads on photographs compare nearest neighbours with nearest neighbours; down to {LEVEL:.2f} below "
        "the teacher is level with it."
    )
    return Table("Aims", ("aim", "measured", "state"), rows, note)


def _shown(aim: Aim) -> str | None:
    return None if aim.figure is None else str(aim.figure)
