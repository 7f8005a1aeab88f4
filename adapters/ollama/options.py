"""``OllamaOptions``: the section ``ollama`` of the configuration, as the client needs it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from agent.domain.limits import USED_OF_LEASE

if TYPE_CHECKING:
    from config.sections.ollama import OllamaSettings


@dataclass(frozen=True, slots=True)
class OllamaOptions:
    """The section ``ollama`` of the configuration."""

    url: str = "http://127.0.0.1:11434"
    model: str = "qwen2.5:7b-instruct"
    vision_model: str | None = None
    """Names what images show; None: ``model``, if it can see."""
    timeout_s: float = 300.0
    """Longest wait for one answer, from connecting to its last byte; by measured speed it may be less."""
    budget_s: float = 600.0
    """Longest wait for all answers about one product, once the model is loaded."""
    load_timeout_s: float = 180.0
    """Longest wait until the server has loaded the model."""
    tries: int = 3
    """Most tries of one instruction."""
    seed: int = 0
    """The seed of an instruction's first try; each further try adds one."""
    think: Literal["auto", "on", "off"] = "auto"
    temperature: float = 0.4
    top_p: float = 0.9
    num_ctx: int = 8192
    num_predict: int = 4096
    keep_alive_s: float = 0.0
    """How long the model stays in memory after the last answer."""
    key: str | None = field(default=None, repr=False)
    """Sent with every request as a bearer token."""

    @classmethod
    def of(cls, settings: OllamaSettings, *, lease_s: float | None = None) -> OllamaOptions:
        """The options that a configuration asks for.

        Args:
            lease_s: within which a product has to be described; loading and answers together stay below it.

        Raises:
            ConfigurationError: the file with the key cannot be read.
        """
        values = settings.model_dump(exclude={"enabled", "keep_alive", "key_file"})
        options = cls(**values, keep_alive_s=settings.keep_alive.total_seconds(), key=settings.read_key())
        if lease_s is None:
            return options
        usable_s = lease_s * USED_OF_LEASE
        load_s = min(options.load_timeout_s, usable_s / 2)
        return replace(options, load_timeout_s=load_s, budget_s=min(options.budget_s, usable_s - load_s))
