"""``METHODS`` lists every method once; ``MethodRegistry`` builds those that an agent's recipes name.

To add a method, write a module beside this one with

- ``PRESET``: its parameters, an instance of a frozen dataclass whose ``__post_init__`` checks them, and
- ``build(models, parameters)``: the :class:`agent.methods.prepared.Method` over loaded models,

and list it in ``METHODS``: the agent, the command line, recipe files and the evaluation read this list.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, Self, TypeVar

from agent.domain.errors import RecipeError, SightlineError
from agent.domain.recipe import Parameter, Recipe
from agent.methods.parameters import override
from agent.methods.prepared import Method
from agent.methods.tagging import ReproducibleTagger
from agent.ports import Detector, ImageTextEncoder, PatchEncoder, Segmenter

T = TypeVar("T")

Role = Literal["encoder", "backbone", "detector", "segmenter", "tagger"]
"""What a model is for; the fields of :class:`MethodModels`."""

TITLES: Mapping[Role, str] = {
    "encoder": "a vision-language model",
    "backbone": "a few-shot backbone",
    "detector": "a detector",
    "segmenter": "a segmenter",
    "tagger": "a tagger",
}


@dataclass(frozen=True, slots=True)
class MethodModels:
    """The loaded models that a method is built over; None: not configured."""

    encoder: ImageTextEncoder | None = None
    backbone: PatchEncoder | None = None
    """Few-shot features; without one the encoder's image tower gives them."""
    detector: Detector | None = None
    segmenter: Segmenter | None = None
    tagger: ReproducibleTagger | None = None

    def missing(self, role: Role) -> bool:
        """Whether no model can play this role."""
        return getattr(self, role) is None and (role != "backbone" or self.encoder is None)


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """What is known of a method without importing PyTorch."""

    name: str
    module: str
    """That holds ``PRESET`` and ``build``; imported when one of them is needed."""
    needs: frozenset[Role] = frozenset()
    """The models without which it cannot run."""
    takes: frozenset[Role] = frozenset()
    """The models that it uses if they are configured."""
    fewest_references: int = 0
    """With fewer references it gives no score."""
    reference_draw: str = "fade"
    """The draw of references of its published figures (``adapters.evaluation.draw.DRAWS``)."""
    inspects: bool = True
    """False: its scores mean nothing, so no table compares them and no threshold is set from them."""

    @property
    def preset(self) -> Any:
        """Its parameters, a frozen dataclass with the values of its paper."""
        return import_module(self.module).PRESET

    def parameters(self, values: Mapping[str, Parameter]) -> Any:
        """The preset with ``values`` in place of its own. Raises RecipeError: unknown name, bad value."""
        return override(self.preset, values)

    def build(self, models: MethodModels, values: Mapping[str, Parameter] | None = None) -> Method:
        """The method. ``values`` (of the configuration) stand between preset and recipe.

        Raises RecipeError: a model that it needs is missing, or as :meth:`parameters`.
        """
        parameters = self.parameters(values or {})
        for role in sorted(self.needs):
            if models.missing(role):
                raise RecipeError(f"method {self.name!r} needs {TITLES[role]}; none is configured")
        built: Method = import_module(self.module).build(models, parameters)
        return built


_SPECS = (
    MethodSpec("fade", "agent.methods.fade", needs=frozenset({"encoder"}), takes=frozenset({"backbone"})),
    MethodSpec(
        "sightline",
        "agent.methods.sightline",
        needs=frozenset({"encoder"}),
        takes=frozenset({"backbone", "detector", "segmenter"}),
    ),
    MethodSpec("winclip", "agent.methods.winclip", needs=frozenset({"encoder"})),
    MethodSpec(
        "anomaly-dino",
        "agent.methods.anomaly_dino",
        needs=frozenset({"backbone"}),
        fewest_references=1,
        reference_draw="anomaly-dino",
    ),
    MethodSpec("apg-gd", "agent.methods.apg_gd", needs=frozenset({"encoder", "detector"})),
    MethodSpec(
        "iap-as",
        "agent.methods.iap_as",
        needs=frozenset({"detector", "segmenter"}),
        takes=frozenset({"tagger"}),
    ),
    MethodSpec("null", "agent.methods.null", inspects=False),
)

METHODS: dict[str, MethodSpec] = {spec.name: spec for spec in _SPECS}
"""Every method by its name in recipes and in the configuration."""


def find_method(name: str) -> MethodSpec:
    """The method of that name. Raises RecipeError: there is none."""
    spec = METHODS.get(name)
    if spec is None:
        raise RecipeError(f"there is no method {name!r}; known are {', '.join(METHODS)}")
    return spec


def build_method(
    name: str,
    encoder: ImageTextEncoder | None = None,
    backbone: PatchEncoder | None = None,
    detector: Detector | None = None,
    segmenter: Segmenter | None = None,
    *,
    tagger: ReproducibleTagger | None = None,
    parameters: Mapping[str, Parameter] | None = None,
) -> Method:
    """The method called ``name`` over these models; raises as :meth:`MethodSpec.build`."""
    models = MethodModels(encoder, backbone, detector, segmenter, tagger)
    return find_method(name).build(models, parameters)


def given(model: T | None) -> T:
    """A model that the spec lists under ``needs``: :meth:`MethodSpec.build` has checked that it is there."""
    if model is None:
        raise RecipeError("a model that this method needs is not listed under its needs")
    return model


class MethodRegistry:
    """The methods of one agent, each built once, when the first recipe names it.

    A recipe names its method, so two products of one camera may be inspected in different ways.
    """

    def __init__(self, default: str, build: Callable[[str], Method]) -> None:
        """``default``: the method of recipes that are still to be written. ``build`` raises RecipeError
        or ModelError if a method does not exist or lacks a model.
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
            ModelError: a model of it cannot be loaded. Later calls raise the same error until the agent is
                started again: frames must not wait for files that are not there.
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
