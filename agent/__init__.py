"""What an inspection is and how the agent lives.

Uses numpy and torch as arithmetic and knows nothing of MQTT, SQL, HTTP or where models come from. What it
needs from outside is a Protocol in :mod:`agent.ports`. Only :mod:`agent.app` wires the parts.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str


def __getattr__(name: str) -> str:
    """``__version__``, looked up when it is read: most commands start sooner without the library for it."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("sightline")
    except PackageNotFoundError:  # a checkout that was never installed
        return "0+unknown"
