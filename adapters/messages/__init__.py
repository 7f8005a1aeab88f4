"""The JSON of verdicts, alerts and masks, which every sink shares."""
