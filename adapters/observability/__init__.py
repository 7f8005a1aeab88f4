"""Observability: Prometheus metrics, health and readiness over HTTP, systemd's watchdog, and logs."""
