"""The report of an evaluation: every aim and table that follows from a record, as Markdown and for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.lab.evaluation.figures import Figure
from adapters.lab.evaluation.record import Record
from adapters.lab.evaluation.scorers import WITHOUT_TEACHER
from adapters.lab.evaluation.tables import (
    Results,
    Row,
    Spoken,
    Table,
    defect_table,
    family_figure,
    family_tables,
    markdown,
    photograph_figure,
    photograph_tables,
    word_figure,
    word_tables,
)
from adapters.lab.evaluation.trials import is_surface
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
        "An aim is met if the mean reaches it, and a lead `above` a figure if its whole interval does. "
        f"Leads on photographs compare nearest neighbours with nearest neighbours; down to {LEVEL:.2f} below "
        "the teacher is level with it."
    )
    return Table("Aims", ("aim", "measured", "state"), rows, note)


def _shown(aim: Aim) -> str | None:
    return None if aim.figure is None else str(aim.figure)


def aims_of(record: Record, seed: int) -> list[Aim]:
    """Met, missed or not measured."""
    parts = record.parts
    return aims(
        list(parts["families"].values()),
        list(parts["photographs"].values()),
        list(parts["words"].values()),
        seed,
    )


def tables_of(record: Record, seed: int) -> list[Table]:
    """The aims first, then what they rest on."""
    parts = record.parts
    families = list(parts["families"].values())
    defects = defect_table(families, seed)
    return [
        aims_table(aims_of(record, seed)),
        *family_tables(families, seed),
        *([] if defects is None else [defects]),
        *photograph_tables(list(parts["photographs"].values()), seed),
        *word_tables(list(parts["words"].values()), seed),
        *_speed_tables(parts["speed"].values()),
    ]


def _speed_tables(results: Any) -> list[Table]:
    tables = []
    for measured in results:
        rates = measured["frames_per_s"]
        batches = list(next(iter(rates.values())))
        rows = [Row(title, tuple(f"{each[batch]:.1f}" for batch in batches)) for title, each in rates.items()]
        note = (
            f"Frames a second of {measured['frame_size'][0]} px, scaled to {measured['scaled_to']}, on "
            f"{measured['threads']} threads, bare model. Loaded in {measured['load_s']:.2f} s, after "
            f"{measured['import_s']:.2f} s for the libraries. Load average of the machine before and after: "
            f"{measured['load_average_before']} and "
            f"{measured['load_average_after']}."
        )
        tables.append(Table("Speed", tuple(batches), tuple(rows), note))
    return tables


def summary(record: Record, seed: int) -> dict[str, Any]:
    """For JSON: aims and tables."""
    return {
        "aims": [aim.as_dict() for aim in aims_of(record, seed)],
        "tables": [table.as_dict() for table in tables_of(record, seed)],
    }


def report(record: Record, seed: int, *, complete: bool) -> str:
    """Markdown: what was measured, on what, and every table."""
    everything = record.settings["all"]
    lines = [
        f"Model sha256 `{everything['checkpoint']}`; seed {everything['seed']}; judged as the embedded "
        f"profile does ({_list(everything['method'])}).",
        f"Machine: {_list(everything['machine'])}. Versions: {_list(everything['versions'])}. "
        f"Simulator sha256 `{everything['simulator'][:12]}`.",
    ]
    if not complete:
        lines.insert(0, "**Interrupted: not every trial is in these tables.**")
    return "\n\n".join(lines) + "\n\n" + markdown(tables_of(record, seed))


def _list(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())
