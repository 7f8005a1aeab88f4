"""Methods: published ways to score a frame. ``registry.METHODS`` lists them; ``prepared`` defines one.

Nothing here imports PyTorch until a method is built, so that commands which only list methods start at once.
"""

from agent.methods.prepared import Method, Prepared, PreparedRecipe, Scored
from agent.methods.registry import (
    METHODS,
    MethodModels,
    MethodRegistry,
    MethodSpec,
    build_method,
    find_method,
)

__all__ = [
    "METHODS",
    "Method",
    "MethodModels",
    "MethodRegistry",
    "MethodSpec",
    "Prepared",
    "PreparedRecipe",
    "Scored",
    "build_method",
    "find_method",
]
