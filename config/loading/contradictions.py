"""``contradictions``: keys that are right by themselves and do not fit together."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from agent.domain.limits import USED_OF_LEASE
from config.sections.ollama import ANSWER_TOKENS, IMAGE_TOKENS, QUESTION_TOKENS, OllamaSettings
from config.settings import Settings


def contradictions(settings: Settings) -> list[str]:
    """One sentence with a remedy for each; the agent runs all the same, with the smaller of two limits."""
    ollama = settings.ollama
    if ollama.enabled is False:
        return []
    return [*_times(ollama, settings.onboarding.lease.total_seconds()), *_tokens(ollama), *_key(ollama)]


def _times(ollama: OllamaSettings, lease_s: float) -> Iterator[str]:
    if ollama.timeout_s > ollama.budget_s and "timeout_s" in ollama.model_fields_set:
        yield (
            f"ollama.timeout_s ({ollama.timeout_s:g}) is above ollama.budget_s ({ollama.budget_s:g}), which "
            "ends all answers about a product; raise the budget or lower the timeout"
        )
    whole_s = ollama.load_timeout_s + ollama.budget_s
    if whole_s > lease_s * USED_OF_LEASE:
        yield (
            f"ollama.load_timeout_s and ollama.budget_s add up to {whole_s:g} s, and onboarding.lease "
            f"({lease_s:g} s) leaves {lease_s * USED_OF_LEASE:g}; raise the lease, or less is used"
        )


def _tokens(ollama: OllamaSettings) -> Iterator[str]:
    needed = QUESTION_TOKENS + min(ollama.num_predict, ANSWER_TOKENS)
    needed += IMAGE_TOKENS if ollama.vision_model else 0
    if ollama.num_ctx < needed:
        yield (
            f"ollama.num_ctx ({ollama.num_ctx}) is less than the {needed} tokens that a question and its "
            "answer may have, so the beginning of the question would be cut off; raise it"
        )
    elif ollama.num_predict >= ollama.num_ctx:
        yield (
            f"ollama.num_predict ({ollama.num_predict}) leaves no room for a question in ollama.num_ctx "
            f"({ollama.num_ctx}); raise num_ctx or lower num_predict"
        )


def _key(ollama: OllamaSettings) -> Iterator[str]:
    parts = urlsplit(ollama.url)
    if ollama.key_file is not None and parts.scheme == "http" and not _is_local(parts.hostname or ""):
        yield f"the key of ollama.key_file travels to {parts.hostname} without encryption; use https"


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
