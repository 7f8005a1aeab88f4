"""BatchLimit: how many frames fit into memory at once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.inference.batch_limit import BatchLimit, device_lost, out_of_memory


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("HIP out of memory. Tried to allocate"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
        (KeyError("out of memory"), False),
    ],
)
def test_running_out_of_memory_is_distinguished_from_other_failures(error: Exception, short: bool) -> None:
    assert out_of_memory(error) is short


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: out of memory"), False),
        (RuntimeError("expected scalar type Half but found Float"), False),
        (ValueError("device-side assert"), False),
    ],
)
def test_a_device_that_is_lost_is_distinguished_from_other_failures(error: Exception, lost: bool) -> None:
    assert device_lost(error) is lost


@given(st.integers(1, 64), st.integers(1, 256))
def test_halving_ends_at_what_fits(fits: int, wanted: int) -> None:
    limit, tries = BatchLimit(), 0
    while (count := limit.within(wanted)) > fits:
        limit.refused(count)
        tries += 1
    assert 1 <= count <= wanted
    assert tries <= 8
    assert count == wanted or count >= (fits + 1) // 2, "no smaller than it must be"


def test_the_limit_is_doubled_after_enough_good_batches_and_not_for_small_ones() -> None:
    limit = BatchLimit(again_after=3)
    limit.refused(8)
    for _ in range(10):
        limit.passed(2)
    assert limit.most == 4
    for _ in range(3):
        limit.passed(4)
    assert limit.most == 8


def test_a_refusal_starts_the_count_anew() -> None:
    limit = BatchLimit(again_after=2)
    limit.refused(8)
    limit.passed(4)
    limit.refused(4)
    limit.passed(2)
    assert limit.most == 2
