"""Images: payloads to frames within limits, masks and overlays to files. Imports nothing of MQTT."""
