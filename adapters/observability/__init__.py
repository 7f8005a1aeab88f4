"""Seen from outside: Prometheus metrics, health and readiness over HTTP, and the word to systemd."""
