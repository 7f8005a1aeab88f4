"""Ollama: a language model on a server of one's own describes new products and names what images show."""

from adapters.ollama.health import Health, Readiness, look
from adapters.ollama.options import OllamaOptions
from adapters.ollama.tagger import OllamaTagger
from adapters.ollama.writer import OllamaWriter

__all__ = ["Health", "OllamaOptions", "OllamaTagger", "OllamaWriter", "Readiness", "look"]
