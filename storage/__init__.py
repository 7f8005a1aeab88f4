"""The inspection history in SQL (SQLite or PostgreSQL) and the media files beside it.

Implements the ports History, Outbox, RecipeBook and MediaStore of :mod:`agent.ports`.
"""

from storage.database import Database, parse_url
from storage.history import SqlHistory
from storage.maintenance import backup, check, upgrade
from storage.media import MediaFolder
from storage.outbox import SqlOutbox
from storage.queries import Summary, defects, inspections, query, summary
from storage.recipe_book import RecipeListing, SqlRecipeBook

__all__ = [
    "Database",
    "MediaFolder",
    "RecipeListing",
    "SqlHistory",
    "SqlOutbox",
    "SqlRecipeBook",
    "Summary",
    "backup",
    "check",
    "defects",
    "inspections",
    "parse_url",
    "query",
    "summary",
    "upgrade",
]
