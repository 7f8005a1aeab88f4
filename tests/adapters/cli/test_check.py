"""``sightline check``: rows as soon as they are known, the processor, models on request."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from adapters.cli.checks import State, check_processor
from config import Settings
from tests.adapters.cli.conftest import CommandLine

QUIET = (
    "--set", "broker.url=embedded://127.0.0.1:0", "--set", "metrics.enabled=false",
)  # fmt: skip


@contextmanager
def held_server(answer: threading.Event) -> Iterator[str]:
    """The URL of a language model server that answers only once it is let, as an old Ollama."""

    class Held(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = b'{"version": "0.4.7"}'
            if answer.wait(60):
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Held) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            answer.set()
            server.shutdown()
            thread.join()


@pytest.mark.slow
def test_a_row_is_shown_while_the_next_part_is_waited_for(tmp_path: Path) -> None:
    """The server is let answer after the first rows have been read; otherwise it would be found silent."""
    answer = threading.Event()
    with held_server(answer) as url:
        command = [sys.executable, "-c", "from adapters.cli import main; main()", "check", *QUIET]
        with subprocess.Popen(
            [*command, "--set", f"ollama.url={url}"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if " media " in line:
                    break
            answer.set()
            rest = " ".join(process.stdout.read().split())
    assert "is version 0.4.7" in rest
    assert process.returncode == 0


def test_models_are_loaded_only_on_request(sightline: CommandLine) -> None:
    """The command line of the tests has a stand-in for loaded models: it shows whether it was built."""

    def models(*words: str) -> str:
        rows = json.loads(
            sightline("check", "--json", *QUIET, "--set", "ollama.enabled=false", *words).stdout
        )
        (detail,) = (str(row["detail"]) for row in rows if row["part"] == "models")
        return detail

    assert models() == "sightline-tiny: on the disk; `check --models` loads them and times a frame"
    assert "ms a frame" in models("--models")
    assert models("--set", "inspection.method=null") == "method 'null' needs none"


@pytest.mark.parametrize(("threads", "state"), [(1, State.OK), (10_000, State.WARNING)])
def test_the_processor(threads: int, state: State) -> None:
    finding = check_processor(Settings.model_validate({"models": {"threads": threads}}))
    assert finding.state is state
    assert f"{threads} thread" in finding.detail
    assert "wait for each other passively" in finding.detail
    assert ("set models.threads to" in finding.detail) == (state is State.WARNING)
