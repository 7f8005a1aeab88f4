"""The demonstration while it runs: a live table for a terminal, a line now and then for a log."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from adapters.cli.demo.board import Board, CameraState
from adapters.cli.screen import COLOURS, number, verdict

REFRESH_S = 0.25
LINE_S = 5.0
BAR = 12


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
                self._console.print(plain_line(self._board))
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
    """The same in one line."""
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
