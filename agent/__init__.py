"""What an inspection is and how the agent lives.

Knows numpy and torch as arithmetic and nothing of MQTT, SQL, HTTP or where models come from: what it
needs from outside stands as Protocols in :mod:`agent.ports`. Only :mod:`agent.app` wires the parts.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("sightline")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"
