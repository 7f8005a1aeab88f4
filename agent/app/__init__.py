"""``Application``: the composition root, the one place that builds the parts of Sightline from settings.

The command line builds whatever it needs through it; nothing inside ``agent`` imports it. Parts are imported
when they are built, so that a command that needs no model does not wait for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.images.codec import CvImageCodec
    from adapters.images.decoder import PayloadDecoder
    from agent.app.agent import Agent
    from agent.app.store import DatabaseTools, Store
    from agent.inference.inspector import Inspector
    from agent.inference.kept_memory import KeptMemories
    from agent.onboarding.product_region import Boxes
    from agent.ports import EventReporter
    from config import Settings
    from storage.benchmark.bench import HistoryFigures


class Application:
    """Builds the parts from settings."""

    def database(self, settings: Settings) -> DatabaseTools:
        """Upgrade, check, repair and backup of a database that is not open."""
        from agent.app.store import DatabaseTools

        return DatabaseTools(settings)

    def settled(self, settings: Settings) -> Settings:
        """With the id that an agent of these settings has: the default may depend on the history."""
        return self.database(settings).settled()

    def store(self, settings: Settings, *, upgrade: bool = True) -> Store:
        """Open the history, by default after its schema is brought up to date. Raises StorageError."""
        from agent.app.store import DatabaseTools, Store

        if upgrade:
            DatabaseTools(settings).prepare()
        return Store(settings)

    def bench_history(self, url: str, rows: int, report: Callable[[str], None]) -> HistoryFigures:
        """Fill an empty database with drawn rows and measure it. Raises StorageError."""
        from storage.benchmark.bench import bench_history

        return bench_history(url, rows, report)

    def inspector(self, settings: Settings) -> Inspector:
        """Load the models. Raises ModelError, RecipeError."""
        from agent.app.models import build_inspector

        return build_inspector(settings)

    def untrained_inspector(self, settings: Settings) -> Inspector:
        """An inspector with models of the true sizes and random weights. No file is read; scores mean
        nothing.

        Raises ModelError, RecipeError.
        """
        from agent.app.models import UntrainedModels, build_inspector

        return build_inspector(settings, UntrainedModels(settings))

    def product_boxes(self, settings: Settings, noun: str) -> Boxes | None:
        """Finds a product by its noun with the configured detector; None if none is configured.

        Raises ModelError.
        """
        from agent.app.models import product_boxes

        return product_boxes(settings, noun)

    def decoder(
        self, settings: Settings, bits: int | None = None, events: EventReporter | None = None
    ) -> PayloadDecoder:
        """A decoder in this process, for commands: they read their own user's files, so a malicious file can
        end nobody else's work.

        Args:
            bits: significant bits of values in PNG of 16 bits; by default those of the cameras in the
                configuration, if all that name some agree.
            events: where findings about the images are reported.
        """
        from adapters.images.camera_depths import CameraDepths
        from adapters.images.decoder import PayloadDecoder
        from agent.app.options import decoder_limits, stated_bits

        configured = set(stated_bits(settings).values())
        stated = bits or (configured.pop() if len(configured) == 1 else 0)
        depths = CameraDepths({"*": stated}, events=events, remedy="--bits")
        return PayloadDecoder(decoder_limits(settings), depths=depths)

    def codec(self) -> CvImageCodec:
        from adapters.images.codec import CvImageCodec

        return CvImageCodec()

    def memories(self, settings: Settings, inspector: Inspector) -> KeptMemories:
        """Where agents on this machine find memories that commands have made."""
        from agent.app.models import kept_memories
        from agent.inference.kept_memory import KeptMemories

        return KeptMemories(inspector, kept_memories(settings))

    def agent(self, settings: Settings) -> Agent:
        """An agent with its models loaded and its history open.

        Raises SightlineError if something is missing. The agent waits for a broker that is away.
        """
        from agent.app.agent import Agent

        settings = self.settled(settings)
        inspector = self.inspector(settings)
        return Agent(settings, inspector, self.store(settings))
