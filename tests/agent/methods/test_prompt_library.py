"""The library of descriptions, and prompt files of all shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.errors import RecipeError
from agent.domain.prompts import PromptSet, PromptSource, combine, compositional_ensemble
from agent.methods.prompt_library import library, load_prompts

NAMES_OF_DATASETS = [
    "bottle",
    "cable",
    "capsule",
    "carpet",
    "grid",
    "hazelnut",
    "leather",
    "nut",
    "pill",
    "tile",
    "toothbrush",
    "transistor",
    "wood",
    "zipper",
    "candle",
    "cashew",
    "chewinggum",
    "fryum",
    "macaroni",
    "pcb",
    "cookie",
    "cube",
]


def test_the_library_is_large_distinct_and_names_no_product() -> None:
    own = library()
    assert len(own.normal) >= 150
    assert len(own.anomalous) >= 150
    assert len(own.defects) >= 30
    sentences = [*own.normal, *own.anomalous]
    assert len({sentence.lower() for sentence in sentences}) == len(sentences)
    for sentence in sentences:
        words = sentence.lower().split()
        assert 4 <= len(words) <= 13, sentence
        assert not any(character.isdigit() for character in sentence), sentence
        assert not set(words) & set(NAMES_OF_DATASETS), sentence
    names = [defect.name for defect in own.defects]
    assert len(set(names)) == len(names)
    assert all(defect.phrases for defect in own.defects)


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_our_own_format_in_json_and_yaml(tmp_path: Path) -> None:
    content = {
        "normal": ["a good part", "a  fine\npart"],
        "anomalous": ["a bad part"],
        "defects": [{"name": "crack", "phrases": ["a crack"]}, {"name": "hole"}],
    }
    read = load_prompts(write(tmp_path, "words.json", content))
    assert (read.normal, read.anomalous) == (("a good part", "a fine part"), ("a bad part",))
    assert [(d.name, d.phrases) for d in read.defects] == [("crack", ("a crack",)), ("hole", ("hole",))]
    assert read.source is PromptSource.MANUAL
    yaml = "normal:\n- a good part\n- a fine part\nanomalous: [a bad part]\n"
    yaml += "defects: {crack: a crack, hole: [hole]}\n"
    assert load_prompts(write(tmp_path, "words.yaml", yaml)).digest == read.digest


def test_the_authors_files_with_both_sides_and_a_placeholder(tmp_path: Path) -> None:
    def sides(bad: list[str], good: list[str]) -> dict[str, Any]:
        return {
            "abnormal": {"instruction": "Write down what is damaged.", "prompts": bad},
            "normal": {"instruction": "And what is not.", "prompts": good},
        }

    first = write(tmp_path, "b.json", sides(["a broken {classname}", "torn", "torn"], ["a {classname}"]))
    second = write(tmp_path, "c.json", sides(["cracked"], ["whole"]))
    read = load_prompts(first, second, noun="metal_nut")
    assert read.anomalous == ("a broken metal nut", "torn", "torn", "cracked"), "duplicates stay"
    assert read.normal == ("a metal nut", "whole")
    assert len(read.defects) >= 30, "the library names regions where the file names no defect"
    assert load_prompts(tmp_path, noun="metal nut").digest == read.digest, "a folder stands for its files"


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        (("abnormal.json", ["torn"]), ("normal.json", ["whole"])),
        (("damaged_1.json", {"prompts": ["torn"]}), ("undamaged_1.json", {"prompts": ["whole"]})),
        (("x.json", {"defective": {"list": ["torn"]}}), ("y.json", {"defect-free": ["whole"]})),
        (("x.json", {"anomaly_prompts": {"a": ["torn"]}}), ("y.json", {"good": ["whole"]})),
    ],
)
def test_one_file_for_each_side(tmp_path: Path, bad: tuple[str, Any], good: tuple[str, Any]) -> None:
    read = load_prompts(write(tmp_path, *bad), write(tmp_path, *good))
    assert (read.normal, read.anomalous) == (("whole",), ("torn",))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("words.json", "{", "is not JSON"),
        ("words.yaml", "a: [", "is not YAML"),
        ("words.json", {"normal": ["a"]}, "no anomalous descriptions in words.json"),
        ("words.json", {"abnormal": ["a"]}, "no normal descriptions"),
        ("words.json", ["a"], "neither normal nor anomalous"),
        ("words.json", {"normal": ["a"], "anomalous": [1]}, "is 1, not a sentence"),
        ("words.json", "3", "holds int instead of lists"),
        ("words.json", {"normal": ["a"], "anomalous": ["b"], "defects": 3}, "`defects` in"),
        ("words.json", {"normal": ["a"], "anomalous": ["b"], "defects": [{"name": 3}]}, "a name and its"),
        ("words.json", {"normal": ["a"], "anomalous": [" "]}, "no anomalous descriptions"),
    ],
)  # fmt: skip
def test_each_mistake_is_named(tmp_path: Path, name: str, content: Any, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        load_prompts(write(tmp_path, name, content))


def test_missing_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no prompt file"):
        load_prompts(tmp_path / "gone.json")
    with pytest.raises(RecipeError, match="holds no prompt file"):
        load_prompts(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'{"normal": ["\xe9"]}')
    with pytest.raises(RecipeError, match="not UTF-8"):
        load_prompts(tmp_path / "latin.json")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["normal", "abnormal", "defects", "a"]), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_any_json_is_read_or_refused_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: Any
) -> None:
    path = write(tmp_path_factory.getbasetemp(), "any.json", json.dumps(content))
    try:
        read = load_prompts(path)
    except RecipeError:
        return
    assert read.normal
    assert read.anomalous


def test_sets_are_combined_with_their_duplicates() -> None:
    ensemble = compositional_ensemble("object")
    both = combine(ensemble, PromptSet(("a photo of the object",), ("torn",), source=PromptSource.MANUAL))
    assert (len(both.normal), len(both.anomalous)) == (155, 89)
    assert both.source is PromptSource.MANUAL
    assert both.defects == ()
