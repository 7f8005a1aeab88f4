"""HTTP to named hosts: their addresses are checked, and connections go to exactly these."""
