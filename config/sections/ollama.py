"""``OllamaSettings``: the language model that writes prompts for new products."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from agent.domain.errors import ConfigurationError
from config.sections.base import Section, read_secret
from config.sections.units import Duration

QUESTION_TOKENS, ANSWER_TOKENS, IMAGE_TOKENS = 1200, 1100, 2400
"""That a question about a long description, its answer, and three images have at most."""
Thinking = Literal["auto", "on", "off"]


class OllamaSettings(Section):
    """Who writes prompts for a new SKU, never in the path of a frame."""

    enabled: bool | Literal["auto"] = Field(
        "auto",
        title="Use it",
        description="auto: if it answers, else templates. true: the same, but `sightline check` "
        "fails if it is missing. false: template prompts only, and no network request.",
    )
    url: str = Field("http://127.0.0.1:11434", title="URL", description="http://HOST:PORT of the server.")
    model: str = Field(
        "qwen2.5:7b-instruct", title="Model", min_length=1, description="As `ollama list` names it."
    )
    vision_model: str | None = Field(
        None,
        title="Model that sees",
        min_length=1,
        description="Names what the first frames show. null: the same model, if it can see.",
    )
    key_file: Path | None = Field(
        None,
        title="Key file",
        description="A file whose first line is the key that the server, or a proxy before it, wants. It is "
        "sent as a bearer token with every request. null: no key.",
    )
    load_timeout_s: float = Field(
        180, title="Load timeout, s", gt=0, description="Longest wait until the server has loaded the model."
    )
    timeout_s: float = Field(
        300,
        title="Timeout, s",
        gt=0,
        description="Longest wait for one answer; a server that was quicker before gets less.",
    )
    budget_s: float = Field(
        600,
        title="Budget, s",
        gt=0,
        description="Longest wait for all answers about one product. With load_timeout_s it stays below "
        "onboarding.lease, whatever stands here.",
    )
    tries: int = Field(3, title="Tries", ge=1, le=20, description="Most attempts for one question.")
    seed: int = Field(
        0,
        title="Seed",
        ge=0,
        lt=2**31,
        description="Of the first try; each further one adds one, also later.",
    )
    think: Thinking = Field(
        "auto",
        title="Thinking",
        description="auto: first with, then without, if the model can. on, off: always so.",
    )
    temperature: float = Field(
        0.4, title="Temperature", ge=0, le=2, description="0: the likeliest words only."
    )
    top_p: float = Field(
        0.9, title="Nucleus", gt=0, le=1, description="Words are drawn from this share of the likeliest."
    )
    num_ctx: int = Field(
        8192, title="Context", ge=2048, description="Tokens of question, images and answer together."
    )
    num_predict: int = Field(
        4096, title="Longest answer", ge=256, description="Tokens, those of thinking included."
    )
    keep_alive: Duration = Field(
        timedelta(0),
        title="Keep alive",
        description="How long the model stays in memory afterwards. 0 leaves the GPU to inspection.",
    )

    @field_validator("think", mode="before")
    @classmethod
    def _on_is_a_word(cls, value: Any) -> Any:
        # YAML reads an unquoted on or off as a truth value.
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018 - raises if the port is not a number
        except ValueError:
            raise ValueError("should be http://HOST:PORT") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise ValueError("should be http://HOST:PORT, without a user")
        return url.rstrip("/")

    def read_key(self) -> str | None:
        """The key for the server. Raises ConfigurationError: its file cannot be read, or holds none."""
        key = read_secret(None, self.key_file, "ollama.key", what="key")
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ConfigurationError(
                f"ollama.key_file: {self.key_file} should hold one line of plain ASCII text"
            )
        return None if key is None else key.strip()
