"""The second sink: verdicts and alerts posted to URLs."""
