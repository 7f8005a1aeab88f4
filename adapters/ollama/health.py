"""``look``: whether a language model can be asked, as a ``Health`` with a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from adapters.ollama.client import Model, OllamaClient
from adapters.ollama.errors import ModelMissingError, OllamaError, UnreachableError
from adapters.ollama.options import OllamaOptions


class Readiness(StrEnum):
    """The state of the server and its model."""

    READY = "ready"
    NO_MODEL = "no model"
    AWAY = "away"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Health:
    """The result of one look at a server."""

    readiness: Readiness
    sentence: str
    """What is available, or what is wrong and how to mend it."""
    model: Model | None = None
    version: str = ""

    @property
    def ready(self) -> bool:
        """Whether prompts can be written now."""
        return self.readiness is Readiness.READY


def look(options: OllamaOptions) -> Health:
    """Ask for version, model and digest; nothing is generated and no model is loaded. Never raises."""
    client = OllamaClient(options)
    try:
        version = client.supported_version()
        model = client.model()
        names = [f"{model.name} ({', '.join(sorted(model.capabilities)) or 'capabilities unknown'})"]
        if options.vision_model and options.vision_model != options.model:
            seeing = client.model(options.vision_model)
            if not seeing.sees:
                return Health(
                    Readiness.NO_MODEL,
                    f"{seeing.name} takes no images; set ollama.vision_model to a model that does",
                    model,
                    version,
                )
            names.append(seeing.name)
    except UnreachableError as error:
        return Health(Readiness.AWAY, str(error))
    except ModelMissingError as error:
        return Health(Readiness.NO_MODEL, str(error))
    except OllamaError as error:
        return Health(Readiness.FAILING, str(error))
    sentence = f"Ollama {version} at {options.url} has {' and '.join(names)}, digest {model.digest[:12]}"
    return Health(Readiness.READY, sentence, model, version)
