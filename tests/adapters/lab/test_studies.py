"""The studies as people call them, with a method that compares pixels, and the parts they are made of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.evaluation.dataset import Category, Sample
from adapters.lab.studies.calibration import attainable, batches
from adapters.lab.studies.feedback import AIM, SETTLED, STAGES, Played, Share, answers_report, play
from adapters.lab.studies.photographs import splits
from adapters.lab.studies.products import DEFECTIVE, GOOD, SAMPLES, TEN, study_products
from adapters.lab.studies.prompts import STAND_INS, specific
from adapters.lab.studies.report import interval, percent
from adapters.simulator import HELD_OUT
from agent.calibration.threshold import CalibrationPolicy, calibrate
from agent.domain.errors import ConfigurationError
from tests.adapters.cli.test_evaluate import write_category
from tests.adapters.lab.conftest import Studies

SHORT = ("--products", "2", "--samples", "9", "--good", "6", "--defective", "4", "--size", "64")


def test_calibration_on_products(study: Studies) -> None:
    result = study("calibration", *SHORT, "--json", "out/c.json", "--markdown", "out/c.md")
    figures = json.loads((study.folder / "out/c.json").read_text())
    assert figures["study"] == "calibration"
    assert list(figures["products"]) == ["screw (family unseen)", "connector (family unseen)"]
    for product in figures["products"].values():
        assert (sum(product["good"].values()), sum(product["defective"].values())) == (6, 4)
        assert product["samples"] == 9
        assert product["threshold"] > 0.0
        assert product["false_alarm_rate"] == product["good"]["FAIL"] / 6
        assert product["interval"][0] <= product["false_alarm_rate"] <= product["interval"][1]
    assert figures["all"]["good"]["FAIL"] == sum(one["good"]["FAIL"] for one in figures["products"].values())
    assert figures["aim"] == pytest.approx([AIM[0] * 0.01, AIM[1] * 0.01])
    assert "all together" in result.output
    table = (study.folder / "out/c.md").read_text()
    assert table.count("\n| ") == 2 + 2
    assert "asked for: 1.00 % false alarms" in table


def test_the_same_seed_gives_the_same_figures_and_another_one_other_products(study: Studies) -> None:
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        study("calibration", *SHORT, "--seed", seed, "--json", f"{name}.json")
    one, same, other = (json.loads((study.folder / f"{name}.json").read_text()) for name in "abc")
    assert one == same
    assert one["products"] != other["products"]


def test_too_few_parts_leave_everything_to_a_person(study: Studies) -> None:
    study("calibration", *SHORT[:2], "--samples", "3", *SHORT[4:], "--json", "c.json")
    figures = json.loads((study.folder / "c.json").read_text())
    for product in figures["products"].values():
        assert product["threshold"] is None
        assert product["good"] == {"PASS": 0, "REVIEW": 6, "FAIL": 0}


def test_calibration_with_answers_adds_a_table_and_changes_nothing_else(study: Studies) -> None:
    study("calibration", *SHORT, "--json", "a.json", "--markdown", "a.md")
    result = study("calibration", *SHORT, "--answers", "--json", "b.json", "--markdown", "b.md")
    plain, figures = (json.loads((study.folder / name).read_text()) for name in ("a.json", "b.json"))
    answers = figures.pop("answers")
    assert figures == plain
    assert list(answers["products"]) == list(plain["products"])
    for name, product in answers["products"].items():
        assert product["thresholds"] == [plain["products"][name]["threshold"]], "ten frames are not a stage"
        assert product["alarms"] == {"hits": plain["products"][name]["good"]["FAIL"], "of": 6}
        assert (product["alarms_settled"]["of"], product["false_alarm_rate_settled"]) == (0, None)
    before, after = ((study.folder / name).read_text() for name in ("a.md", "b.md"))
    assert after.startswith(before + "\n## with operators who answer\n")
    assert "with operators who answer" in result.output


def test_answers_need_drawn_products(study: Studies) -> None:
    arguments = ("--answers", "--dataset", "mvtec", "--root", ".")
    assert "leave out --dataset" in study("calibration", *arguments, code=1).stderr


POLICY = CalibrationPolicy(0.01)


def played(seed: int, *, factor: float = 1.0, good: int = 2000, defective: int = 500) -> Played:
    """Log-normal scores; ``factor``: of production against the references."""
    random = np.random.default_rng(seed)
    references = random.lognormal(0.0, 0.3, 20).tolist()
    calibration = calibrate(references, POLICY, source="")
    parts = (factor * random.lognormal(0.0, 0.3, good)).tolist()
    bad = (factor * random.lognormal(1.2, 0.5, defective)).tolist()
    return play(references, calibration, parts, bad, POLICY, seed)


def test_answers_bring_products_into_the_aim() -> None:
    for factor in (0.7, 1.0, 1.3):
        products = {str(seed): played(seed, factor=factor) for seed in range(10)}
        report = answers_report(products, 0.01)
        assert report.figures["inside_settled"] >= 9
        assert report.figures["all"]["alarms"]["of"] == 20_000
        assert sum(
            report.figures["all"][name]["of"] for name in ("alarms_settled", "caught_settled")
        ) == 10 * (2500 - SETTLED)
        assert "10 products realise 0.30 % to 3.00 %" in report.notes[1]
        assert len(report.rows) == 11
        assert all(len(row) == len(report.columns) for row in report.rows)


def test_played_frames_are_those_that_came_in_an_order_that_the_seed_gives() -> None:
    one, same = played(3), played(3)
    assert one == same
    assert (one.alarms.of, one.caught.of) == (2000, 500)
    assert 1 <= len(one.thresholds) <= 1 + len(STAGES)
    assert 0 < one.answers < 2500
    assert one.alarms_settled.hits <= one.alarms.hits


def test_a_product_without_a_threshold_gets_one_from_answers() -> None:
    random = np.random.default_rng(1)
    made = play([0.1, 0.2], None, random.lognormal(0.0, 0.3, 400).tolist(), [], POLICY, 1)
    assert made.thresholds[0] is None
    assert made.thresholds[-1] is not None
    assert made.alarms_settled == Share(0, 0)


@given(st.integers(2, 400), st.floats(0.001, 0.1))
@settings(max_examples=5)  # each computes hundreds of rates of 100,000 products
def test_more_parts_tell_more_and_the_best_factor_is_never_worse(samples: int, rate: float) -> None:
    fewer = attainable(samples, rate, 0.3 * rate, 3.0 * rate)
    more = attainable(4 * samples, rate, 0.3 * rate, 3.0 * rate)
    assert 0.0 <= fewer.prediction_bound <= fewer.best <= more.best + 0.01
    assert more.best <= 1.0


def test_twenty_parts_cannot_bring_nine_of_ten_products_into_the_aim() -> None:
    assert 0.5 < attainable(20, 0.01, 0.003, 0.03).prediction_bound < 0.65
    assert attainable(20, 0.01, 0.003, 0.03).best < 0.72
    assert attainable(60, 0.01, 0.003, 0.03).best > 0.9


@pytest.mark.parametrize(("folds", "good"), [("0", 3), ("2", 7)])
def test_calibration_on_photographs(study: Studies, tmp_path: Path, folds: str, good: int) -> None:
    write_category(tmp_path / "data", "gear")
    study(
        *("calibration", "--dataset", "mvtec", "--root", str(tmp_path / "data"), "--folds", folds),
        *("--json", "c.json"),
    )
    figures = json.loads((study.folder / "c.json").read_text())["products"]["gear"]
    assert sum(figures["good"].values()) == good, "each good part once"
    assert sum(figures["defective"].values()) == 3 * max(1, int(folds))


def test_a_dataset_needs_its_folder(study: Studies) -> None:
    assert "--root belong together" in study("calibration", "--dataset", "mvtec", code=1).stderr
    wrong = study("calibration", "--dataset", "mvtek", "--root", ".", code=1)
    assert "no dataset format 'mvtek'" in wrong.stderr


@pytest.mark.parametrize("shots", ["0", "3"])
def test_prompt_selection_on_products(study: Studies, shots: str) -> None:
    result = study(
        *("prompts", "--products", "1", "--frames", "3", "--copies", "1", "--good", "3"),
        *("--defective", "3", "--size", "64", "--shots", shots, "--json", "a.json", "--markdown", "a.md"),
    )
    figures = json.loads((study.folder / "a.json").read_text())
    assert [one["stand_in"] for one in figures["selections"]] == list(STAND_INS)
    for one in figures["selections"]:
        assert one["selection"]["chosen"] == "template", "pixels do not read: all words are equal"
        assert (one["regret"], one["gain"], one["right"]) == (0.0, 0.0, True)
        assert set(one["truth"]) == {"template", one["stand_in"], f"template + {one['stand_in']}"}
        assert one["selection"]["references"] == int(shots)
    assert figures["right"] == 3
    assert "no language model took part" in " ".join(result.output.split())
    assert "altogether: right 3 of 3" in (study.folder / "a.md").read_text()


def test_the_ten_are_new_and_their_parts_are_told_apart() -> None:
    products = study_products(0, 64)
    assert tuple(one.name for one in products) == TEN
    assert {one.name for one in products if one.unseen} == HELD_OUT & set(TEN)
    assert all(one.product.seed >= 1_000_000 for one in products)
    gear = products[4]
    again = next(iter(gear.parts(GOOD, 1)))
    assert (again == next(iter(gear.parts(GOOD, 1)))).all()
    for first in (SAMPLES, DEFECTIVE, GOOD + 1):
        assert (again != next(iter(gear.parts(first, 1)))).any()
    defective = next(iter(gear.parts(GOOD, 1, defective=True)))
    assert (again != defective).any()


@pytest.mark.parametrize("family", TEN)
def test_stand_ins_are_what_their_names_say(family: str) -> None:
    words = {name: write(family) for name, write in STAND_INS.items()}
    assert words["inverted"].normal == words["specific"].anomalous
    assert words["off topic"] != words["specific"]
    assert words["off topic"].normal in {specific(other).normal for other in TEN if other != family}
    for each in words.values():
        assert not any("{" in text for text in (*each.normal, *each.anomalous))
        assert not set(each.normal) & set(each.anomalous)


def test_every_good_photograph_is_judged_once_and_never_against_itself(tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.png" for index in range(13)]
    test = (*(Sample(path) for path in paths[8:]), Sample(tmp_path / "bad.png", "hole"))
    category = Category("cube", tuple(paths[:8]), test)
    for folds in (2, 3, 5, 13):
        made = splits(category, folds)
        assert sorted(path for split in made for path in split.good) == sorted(paths)
        assert all(not set(split.good) & set(split.samples) for split in made)
        assert all(len(split.good) + len(split.samples) == 13 for split in made)
    (as_it_lies,) = splits(category, 0)
    assert (as_it_lies.samples, as_it_lies.good) == (tuple(paths[:8]), tuple(paths[8:]))
    with pytest.raises(ConfigurationError, match="more splits"):
        splits(category, 14)


@given(st.integers(0, 300), st.integers(1, 300))
def test_the_interval_holds_the_share(hits: int, more: int) -> None:
    low, high = interval(hits, hits + more)
    assert 0.0 <= low <= hits / (hits + more) <= high <= 1.0


def test_intervals_of_plain_numbers() -> None:
    assert interval(0, 0) == (0.0, 1.0)
    assert interval(0, 100) == pytest.approx((0.0, 0.0362), abs=1e-4)  # the rule of three, two-sided
    assert interval(20, 2000) == pytest.approx((0.00612, 0.01540), abs=1e-5)
    assert interval(5, 5) == pytest.approx((0.4782, 1.0), abs=1e-4)
    assert (percent(0.0123), percent(None)) == ("1.23 %", "-")


def test_batches_keep_all_in_order() -> None:
    images = [np.full((1, 1, 3), value, np.uint8) for value in range(7)]
    assert [[int(one[0, 0, 0]) for one in part] for part in batches(images, 3)] == [[0, 1, 2], [3, 4, 5], [6]]


def test_names_that_a_method_does_not_give_are_counted_as_none(study: Studies) -> None:
    families = ("--family", "gear", "--family", "screw", "--size", "64")
    result = study("names", "--references", "8", "--defective", "2", *families, "--json", "n.json")
    figures = json.loads((study.folder / "n.json").read_text())
    assert figures["study"] == "names"
    none = {"products": 1, "defects": 0, "best_right": 0, "with_margin": 0, "named": 0, "named_right": 0}
    assert figures["groups"] == {"trained": none, "held out": none}
    assert "held out: no names" in result.output
    assert "no product family 'cog'" in study("names", "--family", "cog", code=1).stderr


def test_names_of_photographs_need_masks(study: Studies) -> None:
    write_category(study.folder / "data", "bolt")
    study("names", "--references", "8", "--dataset", "mvtec", "--root", "data", "--json", "n.json")
    assert json.loads((study.folder / "n.json").read_text())["groups"]["photographs"]["products"] == 1
    assert "belong together" in study("names", "--dataset", "mvtec", code=1).stderr
