"""How to reach Ollama and how to ask it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from config.ollama import OllamaSettings


@dataclass(frozen=True, slots=True)
class OllamaOptions:
    """What the section ``ollama`` of the configuration says."""

    url: str = "http://127.0.0.1:11434"
    model: str = "qwen2.5:7b-instruct"
    vision_model: str | None = None
    """Names what pictures show; None: ``model``, where it can see."""
    timeout_s: float = 60.0
    """Longest wait for one answer, from connecting to its last byte."""
    budget_s: float = 240.0
    """Longest wait for all answers about one product."""
    tries: int = 3
    """How often one question is asked at most."""
    seed: int = 0
    """Of a question's first try; each further one adds one."""
    think: Literal["auto", "on", "off"] = "auto"
    temperature: float = 0.4
    top_p: float = 0.9
    num_ctx: int = 8192
    num_predict: int = 4096
    keep_alive_s: float = 0.0
    """How long the model stays in memory after the last answer."""

    @classmethod
    def of(cls, settings: OllamaSettings) -> OllamaOptions:
        """The options that a configuration asks for."""
        values = settings.model_dump(exclude={"enabled", "keep_alive"})
        return cls(**values, keep_alive_s=settings.keep_alive.total_seconds())
