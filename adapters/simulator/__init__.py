"""A simulated production line that draws its own products and defects, with exact masks."""

from adapters.simulator.captions import captions
from adapters.simulator.defects import DEFECTS
from adapters.simulator.families import FAMILIES, HELD_OUT
from adapters.simulator.family import Family
from adapters.simulator.image import Image, draw, random_defect
from adapters.simulator.product import Product
from adapters.simulator.production_line import Part, Run, SimulatedCamera
from adapters.simulator.station import Station
from adapters.simulator.statistics import statistics

__all__ = [
    "DEFECTS",
    "FAMILIES",
    "HELD_OUT",
    "Family",
    "Image",
    "Part",
    "Product",
    "Run",
    "SimulatedCamera",
    "Station",
    "captions",
    "draw",
    "random_defect",
    "statistics",
]
