"""What an inspection is and how the agent lives.

Uses numpy and torch as arithmetic and knows nothing of MQTT, SQL, HTTP or where models come from. What it
needs from outside is a Protocol in :mod:`agent.ports`. Only :mod:`agent.app` wires the parts.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("sightline")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"
