"""How many threads a pass of a model gets, and how they wait."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from adapters.models.device import use_threads
from adapters.models.threads import default_threads, usable_cores, wait_passively, waiting

HERE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def machine(root: Path, groups: str, files: Mapping[str, str]) -> Path:
    """A folder with ``proc`` and ``sys`` of a machine; ``files`` lie below the folder of control groups."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(groups)
    for name, content in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
    return root


def test_without_a_quota_all_cores_of_the_affinity_are_usable(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == HERE  # not Linux, or no control groups
    assert usable_cores(machine(tmp_path, "0::/\n", {"cpu.max": "max 100000"})) == HERE


@pytest.mark.parametrize("quota", ["100000 100000", "190000 100000", "20000 100000"])
def test_a_quota_bounds_them_rounded_down_and_one_is_left(tmp_path: Path, quota: str) -> None:
    assert usable_cores(machine(tmp_path, "0::/\n", {"cpu.max": quota})) == 1


def test_the_quota_of_a_group_around_counts(tmp_path: Path) -> None:
    files = {"a.slice/b.service/cpu.max": "max 100000", "a.slice/cpu.max": "100000 100000"}
    root = machine(tmp_path, "0::/a.slice/b.service\n", files)
    assert usable_cores(root) == 1


def test_control_groups_of_version_1(tmp_path: Path) -> None:
    groups = "4:memory:/a\n3:cpuset:/\n2:cpu,cpuacct:/docker/1\n0::/\n"
    files = {"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000"}
    root = machine(tmp_path, groups, files)
    assert usable_cores(root) == 1
    (root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us").write_text("-1\n")
    assert usable_cores(root) == HERE


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (3, 2), (4, 3), (16, 15)])
def test_from_three_cores_on_one_is_left_to_the_rest(cores: int, threads: int) -> None:
    assert default_threads({}, cores) == threads


@pytest.mark.parametrize(("own", "threads"), [("3", 3), ("6,2", 6), ("", 2), ("0", 2), ("many", 2)])
def test_the_variable_of_openmp_decides(own: str, threads: int) -> None:
    assert default_threads({"OMP_NUM_THREADS": own}, 2) == threads


def test_threads_wait_passively_unless_the_user_set_how() -> None:
    environment: dict[str, str] = {}
    assert waiting(environment) == "by default"
    wait_passively(environment)
    assert environment == {"OMP_WAIT_POLICY": "PASSIVE"}
    assert waiting(environment) == "passively"
    for own in ({"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "100"}, {"KMP_BLOCKTIME": "0"}):
        kept = dict(own)
        wait_passively(kept)
        assert kept == own
        assert waiting(kept) == "by " + "=".join(*own.items())


def test_the_setting_overrides_all() -> None:
    use_threads(2)
    assert torch.get_num_threads() == 2
    use_threads(None)
    assert torch.get_num_threads() == 1  # OMP_NUM_THREADS of the tests
