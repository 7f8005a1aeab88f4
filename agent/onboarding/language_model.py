"""LanguageModelMonitor: reports once that the language model is away, is back, or is another one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from agent.domain.errors import StorageError, WriterError
from agent.domain.events import Event
from agent.domain.recipe import MODEL_CHANGED
from agent.onboarding.context import OnboardingContext
from agent.ports import LanguageModel, PromptWriter

logger = logging.getLogger(__name__)

EVERY_S = 30.0
"""How often a server that is away is looked for."""
RECHECK_S = 600.0
"""How often one that answers is."""
_MOST_NAMED = 5


class LanguageModelMonitor:
    """What concerns the server, and so all products: one event and one log line for each change.

    Any thread may call.
    """

    def __init__(
        self,
        context: OnboardingContext,
        writer: PromptWriter,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context, self._writer, self._monotonic = context, writer, monotonic
        self._lock = threading.Lock()
        self._reasons: set[str] = set()
        """Why it is away, as reported since it last answered; empty: it answers, as far as is known."""
        self._products: set[str] = set()
        """SKUs that wait for the server."""
        self._digests: dict[str, str] = {}
        self._looked = float("-inf")

    def look_at_start(self) -> None:
        """Log whether it can write. That it is away is an event at once only if it is required."""
        try:
            model = self._look()
        except WriterError as error:
            if self._context.options.language_model_required:
                self.away(error)
            else:
                logger.info("%s; prompts of new products are the template's until then", error.reason)
        else:
            logger.info("%s (%s) writes prompts for new products", model.name, model.where)
            self.answered(model)

    def look(self) -> None:
        """Look for a server that is away, and sometimes at one that answers."""
        with self._lock:
            quiet = not self._reasons and self._monotonic() - self._looked < RECHECK_S
        if quiet or self._context.closing.is_set():
            return
        try:
            model = self._look()
        except WriterError as error:
            logger.debug("still no language model: %s", error.reason)
        else:
            self.answered(model)

    def _look(self) -> LanguageModel:
        with self._lock:
            self._looked = self._monotonic()
        return self._writer.look()

    def away(self, error: WriterError, sku: str | None = None) -> None:
        """The server could not be asked, for ``sku`` as for any other product."""
        with self._lock:
            known = error.reason in self._reasons
            self._reasons.add(error.reason)
            if sku is not None:
                self._products.add(sku)
        if not known and not self._context.closing.is_set():
            message = f"{error.reason}; the template stands in for the words of new products until then"
            self._context.report("template-stands-in", message, None, severity="warning")

    def answered(self, model: LanguageModel) -> None:
        """It answered. Products that waited for it become due."""
        with self._lock:
            was_away, self._reasons = bool(self._reasons), set()
            products, self._products = sorted(self._products), set()
        if was_away:
            message = f"{model.name} answers again and writes prompts for new products"
            self._context.report("language-model-back", message, None)
        try:
            for sku in products if was_away else ():
                self._context.claims.request(sku, self._context.clock(), "the language model answers again")
            self._compare(model)
        except StorageError as error:
            logger.warning("what the language model wrote before cannot be read: %s", error)

    def _compare(self, model: LanguageModel) -> None:
        """Report a model that is not the one that wrote recipes under the same name. Raises StorageError."""
        with self._lock:
            if not model.digest or self._digests.get(model.name) == model.digest:
                return
        book = self._context.book
        lines = [line for line in book.listing() if line.model == model.name and line.model_digest]
        known = book.model_digests().get(model.name)
        others = sorted({line.sku for line in lines if line.model_digest != model.digest})
        if known != model.digest if known is not None else others:
            named = ", ".join(map(repr, others[:_MOST_NAMED]))
            more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
            wrote = (
                f"an earlier one wrote the words of {named}{more}" if others else "the one of before is back"
            )
            message = f"{model.name} is another model now, digest {model.digest[:12]}: {wrote}"
            details = {"model": model.name, "digest": model.digest}
            self._context.events.report(
                Event(MODEL_CHANGED, message, self._context.clock(), details=details, severity="warning")
            )
        with self._lock:
            self._digests[model.name] = model.digest
