"""MQTT: topics, payloads, the connection to the broker, and a broker inside the process."""
