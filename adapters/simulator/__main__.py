"""``python -m adapters.simulator``: measures the distribution of the drawn defects, as JSON."""

import json
import sys

from adapters.simulator.statistics import statistics

json.dump(statistics(760, seed=1), sys.stdout, indent=2)
sys.stdout.write("\n")
