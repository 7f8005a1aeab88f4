"""``sightline bench``: a method is timed, with its own weights or with random ones."""

from __future__ import annotations

import json
import mmap
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.cli import resident
from adapters.cli.bench.beside import BusyProcesses
from adapters.cli.bench.frames import drawn, parse_size
from adapters.cli.bench.method import percentiles
from adapters.models.weights.needs import ModelNames
from agent.domain.errors import ConfigurationError
from agent.methods import METHODS
from tests.adapters.cli.conftest import CommandLine


def test_a_table_and_the_same_as_json(sightline: CommandLine, tmp_path: Path) -> None:
    shown = sightline("bench", "--frames", "5", "--size", "96x64", "--batch", "2", "--json", "out/bench.json")
    figures = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert figures["method"] == "sightline"
    assert figures["models"] == ["sightline-tiny"]
    assert (figures["device"], figures["precision"], figures["profile"]) == ("cpu", "fp32", "embedded")
    assert (figures["frames"], figures["batch"], figures["frame_size"]) == (5, 2, [96, 64])
    assert figures["random_weights"] is False
    assert figures["note"] is None
    assert figures["gpu_memory_mb"] is None
    assert 0 < figures["infer_ms"]["p50"] <= figures["infer_ms"]["p95"]
    assert figures["frames_per_s"] > 0
    for word in ("sightline-tiny", "fp32", "ms p50", "frames/s", "beyond the models"):
        assert word in shown.stdout
    assert "mean nothing" not in shown.stdout
    if sys.platform == "linux":
        memory = figures["memory_mb"]
        assert 0 < memory["before"] <= memory["peak"]
        assert memory["beyond_models"] == pytest.approx(memory["peak"] - memory["loaded"], abs=0.11)


def test_a_frame_beside_busy_processes(sightline: CommandLine, tmp_path: Path) -> None:
    """Times are the machine's; what is counted is that all processes end with the measurement."""
    shown = sightline(
        "bench", "--frames", "2", "--size", "64x64", "--method", "null", "--beside", "2",
        "--json", "bench.json",
    )  # fmt: skip
    beside = json.loads((tmp_path / "bench.json").read_text())["beside"]
    assert beside["processes"] == 2
    assert beside["waiting"] == "passively"
    assert min(beside["alone_ms"], beside["beside_ms"]) > 0
    assert "beside 2 busy" in shown.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_busy_processes_compute_only_while_they_are_let() -> None:
    with BusyProcesses(1) as busy:
        (process,) = busy.processes
        for _ in range(2):
            with busy.running():
                _until_state(process.pid, "R")
            _until_state(process.pid, "S")
    assert process.poll() == 0


def _until_state(pid: int, wanted: str) -> None:
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != wanted:
        assert time.monotonic() < deadline


def test_random_weights_need_no_file_and_say_what_they_are(sightline: CommandLine, tmp_path: Path) -> None:
    """The bundled architecture is small enough for every run; the large ones are run by hand."""
    shown = sightline(
        "bench", "--random-weights", "--frames", "1", "--size", "64x64", "--json", "bench.json",
        "--set", "inspection.parameters.fade.scales=[64]", "--method", "fade",
        "--set", "inspection.parameters.fade.map_words=recipe",
    )  # fmt: skip
    figures = json.loads((tmp_path / "bench.json").read_text())
    assert figures["random_weights"] is True
    assert "scores and verdicts mean nothing" in figures["note"]
    assert "mean nothing" in " ".join(shown.stdout.split())


@pytest.mark.lab
@pytest.mark.parametrize(
    ("method", "models", "size"),
    [
        # Detectors take images of 800 px by their shorter side, unless the longer one is beyond 1333 px then.
        ("apg-gd", ["ViT-B-16-plus-240", "grounding-dino-tiny"], "640x48"),
        ("anomaly-dino", ["timm:vit_small_patch14_dinov2"], "256x256"),
    ],
)
def test_large_models_at_their_true_size(
    sightline: CommandLine, tmp_path: Path, method: str, models: list[str], size: str
) -> None:
    sightline(
        "bench", "--random-weights", "--profile", "gpu", "--method", method, "--frames", "1",
        "--set", "inspection.backbone=timm:vit_small_patch14_dinov2", "--json", "bench.json",
        "--set", "models.threads=1", "--size", size,
        "--set", "inspection.parameters.anomaly-dino.size=112",
    )  # fmt: skip
    figures = json.loads((tmp_path / "bench.json").read_text())
    assert figures["models"] == models
    assert figures["shots"] == (1 if method == "anomaly-dino" else 0)


@pytest.mark.slow
def test_runtimes_take_turns_on_the_same_frames(sightline: CommandLine, tmp_path: Path) -> None:
    shown = sightline(
        "bench", "--runtimes", "torch,onnxruntime", "--frames", "2", "--size", "96x64", "--shots", "1",
        "--set", "inspection.parameters.sightline.scales=[96]", "--set", "references.directions=1",
        "--json", "bench.json",
    )  # fmt: skip
    first, second = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert (first["runtime"], second["runtime"]) == ("torch", "onnxruntime")
    assert (first["ratio"], first["score_off"]) == (1.0, 0.0)
    assert second["score_off"] < 1e-3
    for row in (first, second):
        assert min(row["depths_ms"], row["words_ms"], row["frame_ms"]) > 0
    for word in ("depths", "words", "ratio"):
        assert word in shown.stdout
    assert list((tmp_path / "var" / "cache" / "graphs").iterdir()), "a second run exports nothing"


def test_an_unknown_runtime_is_an_error(sightline: CommandLine) -> None:
    assert "not tensorrt" in sightline("bench", "--runtimes", "torch,tensorrt", code=1).stderr


def test_a_history_is_filled_and_its_documented_queries_are_timed(
    sightline: CommandLine, tmp_path: Path
) -> None:
    shown = sightline("bench", "--history", "300", "--json", "history.json")
    figures = json.loads((tmp_path / "history.json").read_text())
    assert figures["rows"] == 300
    assert figures["into_empty"]["frames"] == 300
    assert {query["section"] for query, _answer in figures["answers"]} >= {
        "inspection_history",
        "defect_pareto",
    }
    assert all(answer["median_ms"] > 0 and answer["plan"] for _query, answer in figures["answers"])
    assert "frames a second" in shown.stdout
    assert "What happened to one part" in shown.stdout
    assert [path.name for path in tmp_path.iterdir() if "history" in path.name] == ["history.json"]


def test_what_is_missing_is_an_error(sightline: CommandLine) -> None:
    assert (
        "no method 'nothing'"
        in sightline("bench", "--random-weights", "--method", "nothing", "--frames", "1", code=1).stderr
    )
    assert "--size is written like 640x480" in sightline("bench", "--size", "large", code=1).stderr


@given(st.integers(16, 9999), st.integers(16, 9999))
def test_sizes_are_width_times_height(width: int, height: int) -> None:
    assert parse_size(f"{width}x{height}") == (width, height)


@pytest.mark.parametrize("text", ["640", "x480", "640x", "8x640", "-64x64", "6.4x48", ""])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_size(text)


def test_frames_are_of_the_size_asked_for_and_differ() -> None:
    first, second = drawn(2, 48, 32)
    assert first.shape == second.shape == (32, 48, 3)
    assert (first != second).any()


def test_percentiles() -> None:
    assert percentiles([1.0, 2.0, 3.0]) == {"p50": 2.0, "p95": 2.9, "mean": 2.0}


def test_the_models_that_take_part() -> None:
    def taking_part(method: str, names: ModelNames) -> tuple[str, ...]:
        return names.taking_part(METHODS[method].needs, METHODS[method].takes)

    plain, named = ModelNames("c"), ModelNames("c", detector="d", segmenter="s")
    assert taking_part("fade", named) == ("c",)
    assert taking_part("fade", ModelNames("c", "timm:t")) == ("c", "timm:t")
    assert taking_part("sightline", named) == ("c", "d", "s")
    assert taking_part("sightline", plain) == ("c",)
    assert taking_part("apg-gd", named) == ("c", "d")
    assert taking_part("iap-as", named) == ("d", "s", "c")
    assert taking_part("iap-as", plain) == ("grounding-dino-tiny", "sam_vit_b", "c")
    assert taking_part("anomaly-dino", ModelNames("c", "timm:t", "d", "s")) == ("timm:t",)
    assert taking_part("null", named) == ()


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_a_peak_is_forgotten_and_found() -> None:
    if not resident.forget_peak():
        pytest.skip("this system does not let a process reset its peak (/proc/self/clear_refs)")
    before = resident.peak_mb()
    with mmap.mmap(-1, 60_000_000) as block:  # new pages: malloc might hand out some that are resident
        block.write(b"x" * len(block))
        held = resident.resident_mb()
    peak = resident.peak_mb()
    assert before is not None
    assert held is not None
    assert peak is not None
    assert held > before + 40
    assert peak > before + 40
