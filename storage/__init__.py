"""The inspection history in SQL (SQLite or PostgreSQL) and the media files beside it.

Implements History, OnboardingClaims, Outbox, RecipeBook, MediaStore, Samples, Disks and Retention of
:mod:`agent.ports`.
"""

from storage.backups import backup
from storage.database import Database, parse_url
from storage.disks import LocalDisks
from storage.history import SqlHistory
from storage.identity import history_identity, last_agent
from storage.integrity import verify_file
from storage.maintenance import check, prepare, upgrade
from storage.media import MediaFolder
from storage.media_audit.check import MediaCheck
from storage.media_audit.report import MediaReport
from storage.onboarding_claims import SqlOnboardingClaims
from storage.outbox import SqlOutbox
from storage.queries import Summary, defects, inspections, query, summary
from storage.recipe_book import SqlRecipeBook
from storage.retention import SqlRetention
from storage.samples import SqlSamples

__all__ = [
    "Database",
    "LocalDisks",
    "MediaCheck",
    "MediaFolder",
    "MediaReport",
    "SqlHistory",
    "SqlOnboardingClaims",
    "SqlOutbox",
    "SqlRecipeBook",
    "SqlRetention",
    "SqlSamples",
    "Summary",
    "backup",
    "check",
    "defects",
    "history_identity",
    "inspections",
    "last_agent",
    "parse_url",
    "prepare",
    "query",
    "summary",
    "upgrade",
    "verify_file",
]
