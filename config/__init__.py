"""Settings and the profiles they start from.

:func:`load` reads defaults, profile, file, environment and ``--set``, each over the last; unknown keys are
refused with their place and the nearest known key. :func:`show` prints what is in force, secrets masked.
"""

from config.loader import Loaded, load, profiles
from config.secrets import open_secrets
from config.settings import Settings
from config.show import json_schema, show

__all__ = ["Loaded", "Settings", "json_schema", "load", "open_secrets", "profiles", "show"]
