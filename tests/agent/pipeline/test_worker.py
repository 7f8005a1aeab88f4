"""StageThread: what a stage has in hand outlives its threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.frame import Camera
from agent.pipeline.worker import StageRunner, StageThread
from agent.telemetry import Counters
from tests.support.loopback import CAMERA


class SlipError(Exception):
    """Something unforeseen."""


class Bench:
    """A stage whose pieces are numbers; works on batches and dies as a test sets."""

    def __init__(self, batches: Sequence[Sequence[int]], poison: set[int], slips: Sequence[bool]) -> None:
        self.batches = [list(batch) for batch in batches]
        self.poison = poison
        self.slips = list(slips)
        self.done: list[int] = []
        self.given_up: list[int] = []
        self.tried: list[int] = []

        self.over = threading.Event()
        if not self.batches:
            self.over.set()

    def take(self) -> Sequence[int]:
        taken = self.batches.pop(0) if self.batches else ()
        if not self.batches:
            self.over.set()
        return taken

    def work(self, pieces: Sequence[int]) -> None:
        self.tried.append(len(pieces))
        if self.poison & set(pieces):
            raise SlipError
        if self.slips and self.slips.pop(0):
            raise SlipError
        self.done.extend(pieces)

    def give_up(self, piece: int, reason: str, times: int) -> int:
        self.given_up.append(abs(piece))
        return -abs(piece)

    def camera(self, piece: int) -> Camera:
        return CAMERA


def run(bench: Bench) -> int:
    """Threads one after the other, until one comes to its end; how many died."""
    stage = StageThread("test", threading.Event(), Counters())
    runner: StageRunner[int] = StageRunner(stage, bench, bench.over, threading.Event())
    deaths = 0
    while True:
        try:
            runner.run()
        except SlipError:
            deaths += 1
        else:
            assert len(runner) == 0
            return deaths


@settings(max_examples=200)
@given(
    st.lists(st.lists(st.integers(1, 10**6), min_size=1, max_size=5, unique=True), max_size=6),
    st.data(),
)
def test_every_piece_is_done_or_given_up_whatever_kills_the_threads(
    batches: list[list[int]], data: st.DataObject
) -> None:
    pieces = [piece for batch in batches for piece in batch]
    poison = set(data.draw(st.lists(st.sampled_from(pieces), max_size=3))) if pieces else set()
    slips = data.draw(st.lists(st.booleans(), max_size=6))
    bench = Bench(batches, poison, slips)
    deaths = run(bench)
    assert [abs(piece) for piece in bench.done] == pieces, "all of them, in their order"
    assert poison <= set(bench.given_up), "what no thread survives"
    assert deaths <= 2 * sum(piece in poison for piece in pieces) + sum(slips)


def test_one_slip_costs_nobody_anything() -> None:
    bench = Bench([[1, 2, 3], [4]], set(), [True])
    assert run(bench) == 1
    assert (bench.done, bench.given_up) == ([1, 2, 3, 4], [])
    assert bench.tried == [3, 1, 1, 1, 1], "after a death one by one, later together again"


def test_the_neighbours_of_a_poisonous_piece_are_done_as_usual() -> None:
    bench = Bench([[1, 2, 3]], {2}, [])
    assert run(bench) == 2
    assert (bench.done, bench.given_up) == ([1, -2, 3], [2])


def test_at_the_end_only_what_killed_twice_is_given_up() -> None:
    bench = Bench([[1, 2, 3]], {2}, [])
    stage = StageThread("test", threading.Event(), Counters())
    runner: StageRunner[int] = StageRunner(stage, bench, bench.over, threading.Event())
    for _ in range(2):
        try:
            runner.run()
        except SlipError:
            continue
    runner.on_give_up("it died", everything=False)
    assert bench.done == [1, -2], "3 stays where it is: its broker delivers it again"


def test_what_hangs_is_given_up_whole() -> None:
    bench = Bench([[1, 2, 3]], {1}, [])
    stage = StageThread("test", threading.Event(), Counters())
    runner: StageRunner[int] = StageRunner(stage, bench, bench.over, threading.Event())
    try:
        runner.run()
    except SlipError:
        runner.on_give_up("it hangs", everything=True)
    assert bench.done == [-1, -2, -3]


def test_a_stage_that_hangs_in_the_database_gives_nothing_up() -> None:
    bench = Bench([[1, 2, 3]], {1}, [])
    stage = StageThread("test", threading.Event(), Counters())
    runner: StageRunner[int] = StageRunner(
        stage, bench, bench.over, threading.Event(), rescues_when_hanging=False
    )
    try:
        runner.run()
    except SlipError:
        runner.on_give_up("it hangs", everything=True)
    assert (bench.done, len(runner)) == ([], 3)
