"""Scheduling: periodic and later tasks of the agent, on APScheduler."""

from adapters.scheduling.scheduler import BackgroundSchedule

__all__ = ["BackgroundSchedule"]
