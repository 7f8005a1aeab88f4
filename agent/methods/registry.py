"""Which method a recipe is scored with: each is built once, when the first recipe asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

from agent.domain.errors import SightlineError
from agent.domain.recipe import Recipe
from agent.methods.prepared import Method


class MethodRegistry:
    """The methods of one agent by name.

    A recipe names its method, so two products on one line may be inspected in different ways; the models
    behind the methods are shared by whoever builds them.
    """

    def __init__(self, default: str, build: Callable[[str], Method]) -> None:
        """``default``: the method of recipes that are still to be written. ``build`` raises RecipeError
        or ModelError where a method does not exist or lacks a model.
        """
        self.default = default
        self._build = build
        self._single: Method | None = None
        self._built: dict[str, Method | SightlineError] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    @classmethod
    def only(cls, method: Method, name: str = "") -> Self:
        """One method for every recipe, whatever it names."""
        methods = cls(name, lambda _: method)
        methods._single = method
        return methods

    def get(self, name: str) -> Method:
        """The method called ``name``.

        Raises:
            RecipeError: there is no such method, or it needs a model that is not configured.
            ModelError: a model of it cannot be loaded. Asked again, the answer is the same until the
                agent is started anew: frames must not wait for files that are not there.
        """
        if self._single is not None:
            return self._single
        with self._lock:
            building = self._locks.setdefault(name, threading.Lock())
        with building:
            built = self._built.get(name)
            if built is None:
                try:
                    built = self._build(name)
                except SightlineError as error:
                    built = error
                self._built[name] = built
        if isinstance(built, SightlineError):
            raise built
        return built

    def of(self, recipe: Recipe) -> Method:
        """The method of a recipe; raises as :meth:`get`."""
        return self.get(recipe.method)
