"""The application: the one place that builds the parts and wires them. Nobody imports it.

Parts are imported where they are built, so that a command that needs no model does not wait for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import adapters.cli

if TYPE_CHECKING:
    from adapters.images.codec import CvImageCodec
    from adapters.images.decoder import PayloadDecoder
    from agent.app.agent import Agent
    from agent.app.store import DatabaseTools, Store
    from agent.inference.inspector import Inspector
    from config import Settings


def main() -> None:
    """The ``sightline`` command."""
    adapters.cli.program(Application())


class Application:
    """Builds the parts from settings; see :class:`adapters.cli.composition.Composition`."""

    def database(self, settings: Settings) -> DatabaseTools:
        """Care of the database."""
        from agent.app.store import DatabaseTools

        return DatabaseTools(settings)

    def store(self, settings: Settings, *, upgrade: bool = True) -> Store:
        """Open the history, by default after bringing its schema up to date."""
        from agent.app.store import DatabaseTools, Store

        if upgrade:
            DatabaseTools(settings).prepare()
        return Store(settings)

    def inspector(self, settings: Settings) -> Inspector:
        """Load the models. Raises ModelError, RecipeError."""
        from agent.app.models import build_inspector

        return build_inspector(settings)

    def untrained_inspector(self, settings: Settings) -> Inspector:
        """The same over models of the true sizes with random weights, for timing alone."""
        from agent.app.models import build_inspector
        from agent.app.untrained import UntrainedModels

        return build_inspector(settings, UntrainedModels(settings))

    def decoder(self, settings: Settings) -> PayloadDecoder:
        """Payloads to images, in this process: a command reads its person's own files, and one that ends
        it takes no other frame along."""
        from adapters.images.decoder import PayloadDecoder
        from agent.app.options import decoder_limits

        return PayloadDecoder(decoder_limits(settings))

    def codec(self) -> CvImageCodec:
        """Images to files."""
        from adapters.images.codec import CvImageCodec

        return CvImageCodec()

    def agent(self, settings: Settings) -> Agent:
        """The agent, its models loaded and its history open."""
        from agent.app.agent import Agent

        inspector = self.inspector(settings)
        return Agent(settings, inspector, self.store(settings))
