"""Studies of what the agent promises, on drawn products and photographs: ``python -m
adapters.lab.studies``."""
