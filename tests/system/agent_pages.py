"""AgentPages: the metrics and health pages of a running agent, for a real HTTP client."""

from __future__ import annotations

from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.factory import wait_until

UNWELL_S = 60.0
"""How long a change may take to be seen, on a machine that has other things to do."""


class AgentPages:
    def __init__(self, port: int) -> None:
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10.0, trust_env=False)

    def status(self, page: str) -> int:
        """0 if nobody answers."""
        try:
            return self._client.get(page).status_code
        except httpx.TransportError:
            return 0

    def wrong(self) -> dict[str, str]:
        """What /readyz reports as wrong, by part."""
        try:
            checks = self.checks("/readyz")
        except httpx.TransportError:
            return {"all": "nobody answers"}
        return {check["name"]: check["detail"] for check in checks if not check["ok"]}

    def checks(self, page: str) -> list[dict[str, Any]]:
        """All checks of a page. Raises httpx.TransportError."""
        found: list[dict[str, Any]] = self._client.get(page).json()["checks"]
        return found

    def metrics(self) -> str:
        return self._client.get("/metrics").text

    def value(self, name: str, **labels: str) -> float:
        """One sample; -1 if there is none."""
        for family in text_string_to_metric_families(self.metrics()):
            for sample in family.samples:
                if sample.name == f"sightline_{name}" and labels.items() <= sample.labels.items():
                    return sample.value
        return -1.0

    def wait_ready(self) -> None:
        wait_until(lambda: self.status("/readyz") == 200, "readiness", UNWELL_S)

    def wait_wrong(self, part: str) -> str:
        """Wait until only ``part`` is wrong; the sentence about it."""
        wait_until(lambda: set(self.wrong()) == {part}, f"{part} to be reported", UNWELL_S)
        return self.wrong()[part]
