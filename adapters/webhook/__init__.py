"""Webhooks: verdicts and alerts posted to URLs."""
