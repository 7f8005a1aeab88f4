"""APScheduler: what the agent does periodically or later."""

from adapters.scheduler.scheduler import BackgroundSchedule

__all__ = ["BackgroundSchedule"]
