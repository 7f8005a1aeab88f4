"""The study of references, with a small model on simulated parts of seeds that no limit was chosen on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from adapters.lab.studies.reference_study import ReferenceStudy, reference_study
from adapters.simulator import Product, Station, draw
from agent.calibration.threshold import CalibrationPolicy
from agent.domain.frame import Image
from agent.domain.recipe import Reference, generic_recipe
from agent.enrollment.enroll import enroll
from agent.inference.inspector import Inspector
from tests.support.images import part, spotted

CHECKED = 1_000_000


def test_good_parts_are_kept_and_copies_and_stains_are_found(inspector: Inspector) -> None:
    def scores(images: Sequence[Image]) -> Sequence[float]:
        references = tuple(Reference(str(i), f"{i}.png", str(i)) for i in range(len(images)))
        draft = replace(generic_recipe("A", "fade"), references=references)
        return enroll(inspector, draft, images, policy=CalibrationPolicy()).scores

    product, station = Product.create("gear", CHECKED), Station.fixed(CHECKED)
    good = [draw(product, station, CHECKED + number).image for number in range(20)]
    stained = [image.copy() for image in good[:3]]
    for image in stained:
        image[100:140, 100:140] = (255, 0, 0)
    study = reference_study(scores, good, stained)
    assert (study.sets, study.references) == (2, 20)
    assert study.false_duplicates == 0
    assert study.false_outliers <= 1
    assert study.copies_found == study.copies == 8
    assert study.defective_found == study.defective == 3
    assert "defective ones among good ones found: 3 of 3 (100.0 %)" in study.sentences


def test_studies_add_up_and_need_a_whole_set() -> None:
    assert (ReferenceStudy(*range(9)) + ReferenceStudy(*range(9))).defective_found == 14
    with pytest.raises(ValueError, match="as many good parts, not 3"):
        reference_study(lambda images: [0.1] * len(images), [part(i) for i in range(3)], [spotted(1)])
