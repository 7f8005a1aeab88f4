"""``Board``: the progress of all cameras; ``LiveView``: a live table of it, or lines in a log."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from adapters.cli.screen import COLOURS, number, verdict

REFRESH_S = 0.25
LINE_S = 5.0
BAR = 12


@dataclass(frozen=True, slots=True)
class CameraState:
    """The progress of one camera."""

    name: str
    planned: int
    sku: str = "-"
    noun: str = ""
    enrolled: bool = False
    published: int = 0
    judged: int = 0
    last_verdict: str = ""
    last_score: float | None = None
    last_threshold: float | None = None
    last_labels: str = ""
    counts: Counter[str] = field(default_factory=Counter)


class Board:
    """The state of all cameras; any thread may write."""

    def __init__(self, cameras: dict[str, int]) -> None:
        """``cameras``: name and planned frames."""
        self._states = {name: CameraState(name, planned) for name, planned in cameras.items()}
        self._changed = threading.Condition()
        self._started: float | None = None
        self._masks = 0
        self._alerts = 0

    def start_clock(self) -> None:
        """The first image is about to be taken."""
        with self._changed:
            self._started = time.monotonic()

    def job(self, camera: str, sku: str, noun: str, *, enrolled: bool) -> None:
        """A camera's line now runs this product."""
        self._update(camera, sku=sku, noun=noun, enrolled=enrolled)

    def published(self, camera: str) -> None:
        with self._changed:
            state = self._states[camera]
            self._states[camera] = replace(state, published=state.published + 1)
            self._changed.notify_all()

    def judged(
        self, camera: str, verdict: str, score: float | None, threshold: float | None, labels: str
    ) -> None:
        with self._changed:
            state = self._states.get(camera)
            if state is None:
                return
            self._states[camera] = replace(
                state,
                judged=state.judged + 1,
                last_verdict=verdict,
                last_score=score,
                last_threshold=threshold,
                last_labels=labels,
                counts=state.counts + Counter({verdict: 1}),
            )
            self._changed.notify_all()

    def saw_mask(self) -> None:
        with self._changed:
            self._masks += 1

    def saw_alert(self) -> None:
        with self._changed:
            self._alerts += 1

    @property
    def masks(self) -> int:
        return self._masks

    @property
    def alerts(self) -> int:
        return self._alerts

    @property
    def cameras(self) -> list[CameraState]:
        """A consistent snapshot of all cameras."""
        with self._changed:
            return list(self._states.values())

    @property
    def seconds(self) -> float:
        """Since the first image."""
        return 0.0 if self._started is None else time.monotonic() - self._started

    @property
    def fps(self) -> float:
        """Verdicts a second since the first image."""
        judged = sum(state.judged for state in self.cameras)
        return judged / self.seconds if self.seconds > 0 else 0.0

    def wait_until_open(self, camera: str, limit: int, timeout_s: float) -> bool:
        """Wait until fewer than ``limit`` images of a camera wait for their verdict; False after the time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open(camera) < limit, timeout_s)

    def _open(self, camera: str) -> int:
        state = self._states[camera]
        return state.published - state.judged

    def _update(self, camera: str, **changes: object) -> None:
        with self._changed:
            self._states[camera] = replace(self._states[camera], **changes)  # type: ignore[arg-type]
            self._changed.notify_all()


class LiveView:
    """Shows the board from a thread of its own; a context manager."""

    def __init__(self, board: Board, console: Console) -> None:
        self._board = board
        self._console = console
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._show, name="display", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(5)

    def _show(self) -> None:
        if self._console.is_terminal:
            with Live(render(self._board), console=self._console, auto_refresh=False) as live:
                while not self._ending.wait(REFRESH_S):
                    live.update(render(self._board), refresh=True)
                live.update(render(self._board), refresh=True)
            return
        due = time.monotonic() + LINE_S
        while not self._ending.wait(REFRESH_S):
            if time.monotonic() >= due:
                self._console.print(plain_line(self._board), markup=False)
                due += LINE_S


def render(board: Board) -> RenderableType:
    """Two lines for each camera, a line of totals below; narrow terminals cut words, never numbers."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), collapse_padding=True)
    for name, shrinks in (("camera", False), ("product", True), ("progress", False), ("verdict", True)):
        # A column that may wrap is narrowed first; its cells cut what does not fit.
        shown.add_column(name, no_wrap=not shrinks)
    for name in ("score", "pass", "fail", "review"):
        shown.add_column(name, justify="right", no_wrap=True)
    for state in board.cameras:
        shown.add_row(
            state.name,
            _product(state),
            _progress(state),
            _verdict(state),
            _score(state),
            *(Text(str(state.counts[name]), style=COLOURS[name]) for name in ("PASS", "FAIL", "REVIEW")),
        )
    return Group(shown, totals(board))


def totals(board: Board) -> Text:
    """Frames, rate and messages so far."""
    states = board.cameras
    published, judged = sum(state.published for state in states), sum(state.judged for state in states)
    planned = sum(state.planned for state in states)
    return Text.assemble(
        (f"{judged}", "bold"), f" of {planned} judged", ("  ·  ", "dim"),
        f"{published - judged} under way", ("  ·  ", "dim"),
        f"{board.fps:.1f} frames a second", ("  ·  ", "dim"),
        f"{board.masks} masks", ("  ·  ", "dim"),
        f"{board.seconds:.0f} s",
    )  # fmt: skip


def plain_line(board: Board) -> str:
    """The same as one line of text."""
    cameras = "   ".join(
        f"{state.name} {state.sku} {state.judged}/{state.planned}"
        f" (pass {state.counts['PASS']}, fail {state.counts['FAIL']}, review {state.counts['REVIEW']})"
        for state in board.cameras
    )
    return f"{board.seconds:4.0f} s  {board.fps:4.1f} fps   {cameras}"


def _product(state: CameraState) -> Text:
    how = "enrolled" if state.enrolled else "first met"
    return _cut(Text.assemble((state.sku, "bold"), (f"\n{state.noun}, {how}", "dim")))


def _progress(state: CameraState) -> Text:
    filled = round(BAR * state.judged / state.planned) if state.planned else BAR
    return Text.assemble(
        ("━" * filled, "cyan"),
        ("━" * (BAR - filled), "bright_black"),
        (f"\n{state.judged} of {state.planned}", "dim"),
    )


def _verdict(state: CameraState) -> Text:
    if not state.last_verdict:
        return Text("-", style="dim")
    return _cut(Text.assemble(verdict(state.last_verdict), (f"\n{state.last_labels}", "dim")))


def _score(state: CameraState) -> Text:
    """The last score over its threshold."""
    threshold = state.last_threshold
    below = "" if threshold is None else f"\n/ {number(threshold)}"
    return Text.assemble(number(state.last_score), (below, "dim"))


def _cut(text: Text) -> Text:
    """Cut lines that are too long instead of wrapping them."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
