"""APScheduler: what the agent does periodically or later."""

from adapters.scheduling.scheduler import BackgroundSchedule

__all__ = ["BackgroundSchedule"]
