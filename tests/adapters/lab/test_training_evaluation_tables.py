"""Tables and aims follow from the record alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.lab.evaluation.figures import Figure
from adapters.lab.evaluation.record import Record
from adapters.lab.evaluation.report import HELD, Aim, aims, report, summary
from adapters.lab.evaluation.scorers import WITHOUT_TEACHER
from adapters.lab.evaluation.tables import (
    Row,
    Table,
    defect_table,
    family_tables,
    named_right,
    photograph_figure,
    photograph_tables,
    true_over_other,
    word_figure,
    word_tables,
)
from agent.domain.errors import ConfigurationError, ModelError

RIGHT, WRONG = [0.1, 0.2, 0.8, 0.9], [0.8, 0.9, 0.1, 0.2]
KINDS = [None, None, "dent", "stain"]
EVERYTHING: dict[str, Any] = {
    "checkpoint": "abc",
    "seed": 0,
    "method": {"method": "sightline"},
    "machine": {"cores": 2},
    "versions": {"torch": "2"},
    "simulator": "f" * 64,
}


def _family(
    product: str, seed: int, *, station: str = "fixed", scores: list[float] = RIGHT
) -> dict[str, Any]:
    return {
        "product": product,
        "station": station,
        "seed": seed,
        "kinds": KINDS,
        "scores": {"agent 0-shot": [RIGHT], "agent 4-shot": [scores]},
        "pixels": {"agent 0-shot": 0.9},
    }


def _photographs(product: str, **scores: list[float]) -> dict[str, Any]:
    columns = {
        **{f"{control} 0-shot": [WRONG] for control in WITHOUT_TEACHER if control.startswith("outlier")},
        **{f"{control} 4-shot": [WRONG] for control in WITHOUT_TEACHER if not control.startswith("outlier")},
        "nearest neighbours 4-shot": [RIGHT, RIGHT],
        "MobileNetV2 4-shot": [RIGHT, WRONG],
    }
    columns |= {name.replace("_", " "): [each] for name, each in scores.items()}
    return {"product": product, "station": "", "seed": 0, "kinds": KINDS, "scores": columns, "pixels": {}}


def _spoken(product: str, seed: int = 0) -> dict[str, Any]:
    return {
        "product": product,
        "station": "fixed",
        "seed": seed,
        "noun": "screw",
        "kinds": KINDS,
        "named": {"dent": [0, 0, 0.9, 0.3], "stain": [0, 0, 0.5, 0.4]},
        "labels": [None, None, "dent", "dent"],
        "nouns": {"screw": RIGHT, "object": RIGHT, "tablet": WRONG, "gear": RIGHT},
    }


# ------------------------------------------------------------------------------------ tables


def test_trained_and_held_out_families_and_stations_stand_apart() -> None:
    results = [_family(name, seed) for name in ("gear", "leather", "screw") for seed in (1, 2)]
    results += [_family("gear", 1, station="loose", scores=WRONG)]
    fixed, loose = family_tables(results, 0)
    assert [row.title for row in fixed.rows] == [
        "gear",
        "mean, trained",
        "screw",
        "leather",
        "mean, held out",
        "mean, held out, surfaces",
    ]
    assert fixed.columns == ("agent 0-shot", "agent 0-shot pixels", "agent 4-shot")
    assert fixed.rows[0].cells == (Figure(1.0, 1.0, 1.0), Figure(0.9, 0.9, 0.9), Figure(1.0, 1.0, 1.0))
    assert [row.title for row in loose.rows] == ["gear", "mean, trained"]
    assert loose.rows[0].cells[2] == Figure(0.0)


def test_a_defect_is_measured_where_it_occurs() -> None:
    table = defect_table([_family("gear", 1), _family("screw", 1, scores=WRONG)], 0)
    assert table is not None
    assert [row.title for row in table.rows] == ["dent", "stain"]
    cells = dict(zip(table.columns, table.rows[0].cells, strict=True))
    assert cells["images"] == "2"
    assert cells["trained, fixed, 4-shot"] == Figure(1.0)
    assert cells["held out, fixed, 4-shot"] == Figure(0.0)
    assert cells["held out, loose, 4-shot"] is None
    assert defect_table([], 0) is None


def test_markdown_has_intervals_in_means_and_dashes_for_what_is_missing() -> None:
    rows = (Row("one", (Figure(0.5, 0.4, 0.6), None)), Row("mean", (Figure(0.5, 0.4, 0.6), "7"), mean=True))
    table = Table("Title", ("a", "b"), rows, "A note.")
    assert table.markdown().splitlines() == [
        "### Title",
        "",
        "A note.",
        "",
        "| | a | b |",
        "|---|---|---|",
        "| one | 0.500 | - |",
        "| **mean** | 0.500 (0.40-0.60) | 7 |",
    ]
    assert table.as_dict()["rows"]["one"] == {"a": {"value": 0.5, "low": 0.4, "high": 0.6}, "b": None}


def test_photographs_have_a_row_a_model_and_a_column_a_number_of_shots() -> None:
    results = [_photographs("bolt", agent_0_shot=RIGHT), _photographs("cake")]
    results[0]["scores"]["agent 16-shot"] = [RIGHT]
    mean, bolt, cake = photograph_tables(results, 0)
    assert mean.title.endswith("bolt, cake")
    assert mean.columns == ("0-shot", "4-shot", "16-shot")
    assert {row.title for row in cake.rows} == {*WITHOUT_TEACHER, "nearest neighbours", "MobileNetV2"}
    own = next(row for row in bolt.rows if row.title == "nearest neighbours")
    assert own.cells[:1] == (None,)
    assert isinstance(own.cells[1], Figure)
    assert own.cells[1].value == 1.0
    assert photograph_figure(results, "agent 16-shot", 0) is None, "one product lacks it"
    assert photograph_tables([], 0) == []


# ------------------------------------------------------------------------------------ words


def test_naming_compares_the_words_of_the_image_with_each_other_word() -> None:
    assert true_over_other(_spoken("screw")) == 1.0
    constant = _spoken("screw") | {"named": {"dent": [1.0] * 4, "stain": [0.0] * 4}}
    assert true_over_other(constant) == 0.5, "a word that always scores high gains nothing"
    assert named_right(_spoken("screw")) == 0.5


def test_a_wrong_noun_costs_what_the_right_one_gives_more() -> None:
    results = [_spoken("screw"), _spoken("screw", 1)]
    assert word_figure(results, ["screw"], "right noun", 0) == Figure(1.0, 1.0, 1.0)
    assert word_figure(results, ["screw"], "wrong nouns", 0) == Figure(0.5, 0.5, 0.5)
    assert word_figure(results, ["screw"], "cost of a wrong noun", 0) == Figure(0.5, 0.5, 0.5)
    assert word_figure(results, ["screw", "leather"], "right noun", 0) is None
    (table,) = word_tables(results, 0)
    assert [row.title for row in table.rows] == ["screw", "mean, held out"]


# ------------------------------------------------------------------------------------ aims


@pytest.mark.parametrize(
    ("figure", "clearly", "state"),
    [
        (None, False, "not measured"),
        (Figure(0.9), False, "met"),
        (Figure(0.89, 0.8, 0.95), False, "missed"),
        (Figure(0.95, 0.9, 0.99), True, "missed"),
        (Figure(0.95, 0.91, 0.99), True, "met"),
        (Figure(0.95), True, "missed"),
    ],
)
def test_an_aim_is_met_missed_or_not_measured(figure: Figure | None, clearly: bool, state: str) -> None:
    assert Aim("one", 0.9, figure, clearly).state == state


def test_aims_need_every_held_out_family() -> None:
    some = {aim.title: aim.state for aim in aims([_family("screw", 1)], [], [], 0)}
    assert set(some.values()) == {"not measured"}
    every = [_family(name, seed) for name in HELD for seed in (1, 2)]
    states = {aim.title: aim.state for aim in aims(every, [], [], 0)}
    assert states["held-out families, fixed station, 4-shot"] == "met"
    assert states["held-out surfaces, fixed station, zero-shot"] == "met"
    assert states["held-out families, loose station, 4-shot"] == "not measured"


def test_photographs_have_to_lead_clearly_over_each_control_and_be_level_with_the_teacher() -> None:
    states = {aim.title: aim.state for aim in aims([], [_photographs("bolt")], [], 0)}
    assert {states[f"photographs, 4-shot, lead over {control}"] for control in WITHOUT_TEACHER} == {"met"}
    assert states["photographs, 4-shot, lead over MobileNetV2"] == "met"
    behind = _photographs("bolt")
    behind["scores"] |= {"nearest neighbours 4-shot": [WRONG]}
    states = {aim.title: aim.state for aim in aims([], [behind], [], 0)}
    assert states["photographs, 4-shot, lead over MobileNetV2"] == "missed"
    assert states["photographs, 4-shot, lead over random weights"] == "missed"


# ------------------------------------------------------------------------------------ the record


def _record(path: Path | None, **settings: dict[str, Any]) -> Record:
    return Record({"all": EVERYTHING, **settings}, path)


def test_a_record_goes_on_where_it_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "record.json"
    first = _record(path, families={"products": 2})
    first.put("families", "gear fixed 1", _family("gear", 1))
    again = _record(path, families={"products": 2}, speed={"frames": 3})
    assert again.has("families", "gear fixed 1")
    assert not again.has("families", "gear fixed 2")
    assert again.parts == first.parts
    assert _record(path, speed={"frames": 9}).has("families", "gear fixed 1"), "speed was not measured yet"


@pytest.mark.parametrize(
    ("settings", "names"),
    [({"all": EVERYTHING | {"checkpoint": "def", "seed": 1}}, "checkpoint, another seed"),
     ({"families": {"products": 3}}, "products")],
)  # fmt: skip
def test_a_record_of_another_evaluation_is_not_gone_on_with(
    tmp_path: Path, settings: dict[str, Any], names: str
) -> None:
    path = tmp_path / "record.json"
    _record(path, families={"products": 2}).save()
    with pytest.raises(ConfigurationError, match=f"another {names}; name another --out"):
        Record({"all": EVERYTHING, "families": {"products": 2}} | settings, path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"settings": 3, "parts": 4}', "\0"])
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="is not a record of an evaluation"):
        _record(path)
    assert path.read_text() == content


def test_a_score_that_is_no_number_never_becomes_a_figure(tmp_path: Path) -> None:
    record = _record(tmp_path / "record.json")
    with pytest.raises(ModelError, match="not a number"):
        record.put("families", "one", _family("gear", 1, scores=[float("nan")] * 4))


def test_the_report_says_what_was_measured_on_what(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    record = _record(path, families={})
    record.put("families", "gear fixed 1", _family("gear", 1))
    record.put("photographs", "bolt 0", _photographs("bolt"))
    record.put("words", "screw fixed 0", _spoken("screw"))
    text = report(record, 0, complete=False)
    for part in ("Interrupted", "`abc`", "torch 2", "cores 2", "### Aims", "fixed station", "### Defects"):
        assert part in text
    assert "Interrupted" not in report(record, 0, complete=True)
    record.save(summary(record, 0))
    held = json.loads(path.read_text())["summary"]
    assert {aim["state"] for aim in held["aims"]} == {"met", "not measured"}
    assert held["tables"][0]["title"] == "Aims"
