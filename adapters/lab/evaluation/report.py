"""The report: all tables and aims that follow from a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.lab.evaluation.aims import Aim, aims, aims_table
from adapters.lab.evaluation.family_tables import defect_table, family_tables
from adapters.lab.evaluation.photograph_tables import photograph_tables
from adapters.lab.evaluation.record import Record
from adapters.lab.evaluation.tables import Row, Table, markdown
from adapters.lab.evaluation.word_tables import word_tables


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
