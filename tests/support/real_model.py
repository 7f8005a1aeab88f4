"""RealModel: SmolLM2-135M as an answer of the scripted Ollama, where its parts are installed.

The folder ``var/llm``, or the one that SIGHTLINE_TEST_LLM names, holds a GGUF file and node-llama-cpp.
``make llm`` fills it. No other test needs any of it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.ollama_server import Asked, Reply, Say, Status

FOLDER = Path(__file__).parents[2] / "var" / "llm"
WORKER = Path(__file__).with_name("real_model.mjs")
_START_S = 120.0


def missing() -> str | None:
    """Which part is not installed, in a sentence; None if all are."""
    folder = _folder()
    if shutil.which("node") is None:
        return "node is not installed"
    if not (folder / "node_modules" / "node-llama-cpp").is_dir():
        return f"node-llama-cpp is not in {folder}; run `make llm`"
    return None if _weights() is not None else f"no GGUF file is in {folder}; run `make llm`"


def _folder() -> Path:
    return Path(os.environ.get("SIGHTLINE_TEST_LLM", FOLDER))


def _weights() -> Path | None:
    return next(iter(sorted(_folder().glob("*/*.gguf"))), None)


class RealModel:
    """A model in a process of its own, on one thread; it answers one question after the other."""

    def __init__(self) -> None:
        self.answers: list[tuple[Asked, dict[str, Any]]] = []
        """All questions with their answers."""
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            ["node", str(WORKER), str(_weights())],
            cwd=_folder(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        killer = threading.Timer(_START_S, self._process.kill)
        killer.start()
        started = self._line()
        killer.cancel()
        if started.strip() != "ready":
            raise RuntimeError(f"the model did not start: {started!r}")

    def __call__(self, asked: Asked) -> Reply:
        """Answer a chat as Ollama would."""
        question = {key: asked.body[key] for key in ("messages", "format", "options")}
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._line()
        if not line:
            return Status(500, "the model was stopped")
        answer = json.loads(line)
        if "error" in answer:
            return Status(500, answer["error"])
        self.answers.append((asked, answer))
        return Say(answer["content"], answer["done_reason"], answer["stats"])

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def __enter__(self) -> RealModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
