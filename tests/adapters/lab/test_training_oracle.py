"""The oracle: whether drawn defects can be told from good parts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from adapters.lab.training import oracle, oracle_sheet
from adapters.lab.training.oracle_table import Judged, Report, line
from adapters.simulator.image import VISIBLE_LAB
from agent.domain.errors import ConfigurationError

FAMILIES = ("gear", "wood_board")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a small network."""
    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("teacher") / "mobilenetv2_035.safetensors"
    save_file(timm.create_model("mobilenetv2_035", pretrained=False).state_dict(), path)
    return path


def judged(
    good: float,
    bad: float,
    *,
    seen: bool = True,
    compared: bool | None = None,
    family: str = "gear",
    defect: str = "dent",
    visibility: float = 20.0,
) -> Judged:
    return Judged(family, defect, "fixed", good, bad, seen, visibility, 0.01, compared)


def shown(one: Judged, side: int = 32) -> oracle_sheet.Shown:
    mask = np.zeros((side, side), np.bool_)
    mask[12:16, 12:16] = True
    return oracle_sheet.Shown(
        one, np.full((side, side, 3), 100, np.uint8), np.full((side, side, 3), 90, np.uint8), mask
    )


def test_a_run_is_printed_drawn_and_the_same_again(
    teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(name: str) -> str:
        oracle.main(
            [
                f"--teacher={teacher}", "--architecture=mobilenetv2_035", f"--families={','.join(FAMILIES)}",
                "--pairs=8", f"--sheet={tmp_path / name}.png", f"--out={tmp_path / name}.json",
            ]
        )  # fmt: skip
        return capsys.readouterr().out

    first = run("first")
    assert "| Family | pairs | AUROC" in first
    assert "Neither the oracle nor the eye sees: " in first
    assert run("second") == first
    assert (tmp_path / "first.json").read_text() == (tmp_path / "second.json").read_text()
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    report = json.loads((tmp_path / "first.json").read_text())
    assert report["settings"]["pairs"] == 8
    assert {name: row["pairs"] for name, row in report["families"].items()} == dict.fromkeys(FAMILIES, 4)
    page = cv2.imread(str(tmp_path / "first.png"))
    assert page is not None
    tile = (oracle.SIZE + oracle_sheet.CAPTION, 2 * oracle.SIZE)
    gap, columns = oracle_sheet.GAP, oracle_sheet.COLUMNS
    assert page.shape[:2] == (2 * (tile[0] + gap) + gap, columns * (tile[1] + gap) + gap)


def test_pairs_of_learnt_products_are_not_judged_and_a_kind_meets_every_station() -> None:
    found = list(oracle.pairs(oracle.Plan(("gear",), 40, ("fixed", "varied"))))
    learnt = {pair.good.product.seed for pair in found if pair.learnt}
    rest = {pair.good.product.seed for pair in found if not pair.learnt}
    assert (len(learnt), len(rest), learnt & rest) == (5, 5, set())
    kinds = set(found[0].good.product.kind.defects)
    met = {(pair.defect, pair.station) for pair in found if not pair.learnt}
    assert met == {(kind, station) for kind in kinds for station in ("fixed", "varied")}
    for pair in found:
        assert (pair.good.defect, pair.bad.defect) == (None, pair.defect)
        assert len(pair.references) == (4 if pair.station == "fixed" and not pair.learnt else 0)
        assert np.array_equal(pair.good.image[~pair.bad.mask], pair.bad.image[~pair.bad.mask])


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"families": ("gaer",)}, "no product family 'gaer'"),
        ({"families": ()}, "no product family"),
        ({"pairs": 7}, "--pairs is at least 8"),
        ({"stations": ("fixed", "mobile")}, "no station of the kind 'mobile'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(plan: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        oracle.Plan(**plan)  # type: ignore[arg-type]


def test_a_wrong_path_ends_the_command_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="oracle: "):
        oracle.main([f"--teacher={tmp_path / 'gone'}", "--families=gear"])


def test_places_under_a_mask() -> None:
    mask = np.zeros((64, 64), np.bool_)
    mask[0:8, 0:12] = True  # a whole place, and half of its neighbour
    assert oracle.under(mask, (8, 8)).nonzero()[1].tolist() == [0, 1]
    mask[:] = False
    mask[20, 20] = True  # too little for any place: the one that has it
    assert np.argwhere(oracle.under(mask, (8, 8))).tolist() == [[2, 2]]
    assert not oracle.under(np.zeros((64, 64), np.bool_), (8, 8)).any()


def test_a_image_scores_by_its_highest_places() -> None:
    scores = np.arange(1000, dtype=np.float32).reshape(20, 50)
    assert oracle.highest(scores) == pytest.approx(np.arange(990, 1000).mean())
    assert oracle.highest(scores[:1, :9]) == 8.0


def test_contrast_is_the_lab_distance_under_the_mask() -> None:
    good, bad = np.full((8, 8, 3), 119, np.uint8), np.full((8, 8, 3), 119, np.uint8)
    mask = np.zeros((8, 8), np.bool_)
    assert oracle.contrast(good, bad, mask) == 0.0
    mask[:4] = True
    bad[:4] = 0  # from L = 50 to L = 0
    assert oracle.contrast(good, bad, mask) == pytest.approx(50.0, abs=0.5)


def test_figures_of_pairs() -> None:
    found = line(
        "all",
        [
            judged(0.1, 0.9, compared=True),
            judged(0.2, 0.3, seen=False, compared=False, visibility=VISIBLE_LAB - 1),
            judged(0.5, 0.4, seen=False),
        ],
    )
    assert found.pairs == 3
    assert found.auroc == pytest.approx(7 / 9)
    assert found.twins == pytest.approx(2 / 3)
    assert found.seen == pytest.approx(1 / 3)
    assert found.compared == 0.5
    assert found.visibility == 20.0
    assert found.invisible == pytest.approx(1 / 3)
    assert line("one", [judged(0.1, 0.9)]).compared is None


def test_what_nobody_sees_is_named() -> None:
    faint = VISIBLE_LAB / 2
    report = Report.of(
        [
            judged(0.1, 0.9),
            judged(0.1, 0.1, seen=False, compared=True, defect="missing part"),
            judged(0.1, 0.1, seen=False, compared=False, defect="stain", visibility=faint),
            judged(0.1, 0.1, seen=False, compared=False, defect="stain", family="nut"),
        ]
    )
    assert {one.name for one in report.unseen} == {"missing part / gear", "stain / gear", "stain / nut"}
    assert {one.name for one in report.hidden} == {"stain / gear", "stain / nut"}
    assert [one.name for one in report.invisible] == ["stain / gear"]
    text = report.markdown()
    assert "Neither the oracle nor the eye sees: stain / gear." in text
    assert report.as_dict()["invisible"] == ["stain / gear"]
    assert "sees: nothing of all this." in Report.of([judged(0.1, 0.9)]).markdown()


def test_a_sheet_has_families_and_defects_in_turn() -> None:
    many = [shown(judged(0, 1, family=f, defect=d)) for f in "abcd" for d in "uvw" for _ in range(5)]
    names = [(one.judged.family, one.judged.defect) for one in oracle_sheet.chosen(many, 12)]
    assert {family for family, _ in names} == set("abcd")
    assert {defect for _, defect in names} == set("uvw")
    assert max(sum(defect == each for _, defect in names) for each in "uvw") == 4
    assert names == sorted(names, key=lambda name: name[::-1])
    assert len(oracle_sheet.chosen(many)) == oracle_sheet.IMAGES // 2
    assert _size(oracle_sheet.sheet(many[:11])) == (3 * (32 + 30 + 6) + 6, 5 * (64 + 6) + 6)


def test_the_outline_covers_nothing_of_the_defect() -> None:
    one = shown(judged(0, 1))
    drawn = oracle_sheet.outlined(one.bad, one.mask)
    assert np.array_equal(drawn[one.mask], one.bad[one.mask])
    assert not np.array_equal(drawn, one.bad)


def _size(page: NDArray[np.uint8]) -> Sequence[int]:
    return page.shape[:2]
