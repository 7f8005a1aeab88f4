"""Settings and the profiles they start from.

:func:`load` reads defaults, profile, file, environment and ``--set``, each over the last; unknown keys are
refused with their place and the nearest known key. :func:`show` prints the settings in force, secrets masked.
"""

from config.loading.contradictions import contradictions
from config.loading.loader import Loaded, load, profiles
from config.loading.secrets import open_secrets
from config.loading.show import json_schema, show
from config.settings import Settings

__all__ = ["Loaded", "Settings", "contradictions", "json_schema", "load", "open_secrets", "profiles", "show"]
