"""``python -m adapters.simulator``: the distribution of the drawn defects, measured afresh, as JSON."""

import json
import sys

from adapters.simulator.statistics import statistics

json.dump(statistics(760, seed=1), sys.stdout, indent=2)
sys.stdout.write("\n")
