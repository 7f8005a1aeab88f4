"""Weights are data: nothing that is loaded may run code, wherever a file came from."""

from __future__ import annotations

import ast
import json
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from adapters.models.detectors.grounding_dino import GroundingDino
from adapters.models.weights.local import load_state
from agent.domain.errors import ModelError

ROOT = Path(__file__).parents[4]
ROOMS = ("agent", "adapters", "storage", "config")


class Evil:
    """What unpickling this does, nobody should do."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("how", ["torch", "pickle", "legacy", "renamed"])
def test_a_file_with_code_is_refused_and_does_not_run(tmp_path: Path, how: str) -> None:
    mark, file = tmp_path / "it-ran", tmp_path / "model.pt"
    if how == "pickle":
        file.write_bytes(pickle.dumps({"weight": Evil(mark)}, protocol=2))
    elif how == "renamed":
        file = tmp_path / "model.safetensors"
        file.write_bytes(pickle.dumps(Evil(mark)))
    else:
        table = {"weight": torch.zeros(2), "more": Evil(mark)}
        torch.save(table, file, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(ModelError, match=r"cannot be read as safetensors or as a weights-only PyTorch file"):
        load_state(file)
    assert not mark.exists()


def test_an_archive_that_is_not_a_table_of_tensors(tmp_path: Path) -> None:
    file = tmp_path / "model.pth"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02c__builtin__\nprint\n(X\x02\x00\x00\x00hitR.")
        archive.writestr("archive/version", "3\n")
    with pytest.raises(ModelError, match="weights file"):
        load_state(file)


@pytest.mark.parametrize("kind", ["grounding-dino", "of-its-own"])
def test_code_beside_a_detector_is_not_run(tmp_path: Path, kind: str) -> None:
    """A folder of transformers may name Python files of its own as its model."""
    mark, folder = tmp_path / "it-ran", tmp_path / "detector"
    folder.mkdir()
    own = {name: f"evil.{name}" for name in ("AutoConfig", "AutoModelForZeroShotObjectDetection")}
    (folder / "config.json").write_text(json.dumps({"model_type": kind, "auto_map": own}))
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(mark)!r})\n")
    for name in ("model.safetensors", "preprocessor_config.json", "tokenizer_config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    (folder / "vocab.txt").write_text("a\n")
    with pytest.raises(ModelError, match="the detector in"):
        GroundingDino(folder)
    assert not mark.exists()


# ------------------------------------------------------------------------------------- the sources


def _calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Every call in the sources: its place, the dotted name that is called, and itself."""
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call):
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", ast.unparse(node.func), node


def _given(call: ast.Call, name: str) -> object:
    found = [word.value for word in call.keywords if word.arg == name]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None


CALLS = list(_calls())


def test_torch_files_are_read_as_weights_only() -> None:
    loads = [(place, call) for place, name, call in CALLS if name == "torch.load"]
    assert loads
    assert [place for place, call in loads if _given(call, "weights_only") is not True] == []


def test_nothing_is_unpickled_evaluated_or_handed_to_a_shell() -> None:
    forbidden = {
        "pickle.load",
        "pickle.loads",
        "eval",
        "exec",
        "os.system",
        "yaml.unsafe_load",
        "joblib.load",
    }
    assert [place for place, name, _ in CALLS if name in forbidden] == []
    assert [place for place, _, call in CALLS if _given(call, "shell") is True] == []
    assert [place for place, _, call in CALLS if _given(call, "allow_pickle") is True] == []
    yaml_loads = [(place, ast.unparse(call)) for place, name, call in CALLS if name == "yaml.load"]
    assert [place for place, text in yaml_loads if "Loader" not in text] == []


def test_models_of_transformers_bring_no_code_of_their_own() -> None:
    loads = [(place, ast.unparse(call)) for place, name, call in CALLS if name.endswith(".from_pretrained")]
    assert loads
    assert [place for place, text in loads if "only_data" not in text] == []
    assert [place for place, _, call in CALLS if _given(call, "trust_remote_code") is True] == []
