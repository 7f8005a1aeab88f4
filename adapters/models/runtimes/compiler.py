"""``Compiler``: parts of networks to graphs of one runtime, exported once for their weights.

PyTorch is the reference: a graph that was exported is compared with it before it is kept, on images of two
sizes, and what does not export stays in PyTorch.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import logging
import threading
import time
import warnings
from importlib.metadata import version
from typing import Protocol

import torch

from adapters.models.kept_files import KeptFiles
from adapters.models.runtimes.graphs import (
    OPENVINO_EXTRA,
    ExportError,
    Graph,
    OnnxGraph,
    OpenVinoGraph,
    TorchGraph,
)
from adapters.models.weights.local import UNTRAINED
from agent.domain.errors import ModelError

_log = logging.getLogger(__name__)

FORMAT = 1
"""Of what the parts compute: another number makes every graph anew."""
TOLERANCE = 1e-4
"""How far a graph may be off, as a share of the largest value of an output."""
_OPSET = 17
_exporting = threading.Lock()
"""PyTorch's exporter keeps its state in globals."""


class Part(Protocol):
    """A part of a network that a runtime may compute."""

    name: str
    """For people."""
    identity: str
    """All that decides what it computes, beside its weights."""

    def module(self) -> torch.nn.Module:
        """It in PyTorch: one input (B, C, H, W), a tuple of outputs."""
        ...

    def examples(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Two inputs of different counts and sizes."""
        ...


class Compiler:
    """Gives each part to the runtime.

    Args:
        runtime: torch, onnxruntime or openvino; see :func:`pick_runtime`.
        store: where exported graphs are kept; None: nowhere.
    """

    def __init__(self, runtime: str = TorchGraph.runtime, store: KeptFiles | None = None) -> None:
        self.runtime = runtime
        self._store = store

    def compile(self, part: Part, digest: str) -> Graph:
        """The part in the runtime, with as many threads as PyTorch has; in PyTorch if it does not export.

        ``digest`` is that of its weights.
        """
        if self.runtime == TorchGraph.runtime:
            return TorchGraph(part.module())
        try:
            return self._exported(part, digest)
        except ExportError as error:
            _log.warning("%s: stays in PyTorch, since %s", part.name, error)
            return TorchGraph(part.module())

    def _exported(self, part: Part, digest: str) -> Graph:
        store = None if digest == UNTRAINED else self._store
        key = _key(part, digest)
        kept = None if store is None else store.get(key)
        if kept is not None:
            return self._graph(kept)
        started = time.perf_counter()
        module, examples = part.module(), part.examples()
        content = export(module, examples[0])
        graph = self._graph(content)
        for example in examples:
            _compare(graph, module, example)
        if store is not None:
            store.put(key, content)
        took = time.perf_counter() - started
        _log.info("%s: exported for %s in %.1f s", part.name, self.runtime, took)
        return graph

    def _graph(self, content: bytes) -> Graph:
        kind = OpenVinoGraph if self.runtime == OpenVinoGraph.runtime else OnnxGraph
        return kind(content, torch.get_num_threads())


def _key(part: Part, digest: str) -> str:
    made_by = [f"{name} {version(name)}" for name in ("torch", "timm")]
    return hashlib.sha256("\n".join([str(FORMAT), *made_by, digest, part.identity]).encode()).hexdigest()


def export(module: torch.nn.Module, example: torch.Tensor) -> bytes:
    """An ONNX graph for batches of any count, height and width, batch norms folded. Raises ExportError.

    By the older of PyTorch's two exporters: half a second a part, where the one over torch.export takes ten
    to twenty.
    """
    sizes = {0: "batch", 2: "height", 3: "width"}
    buffer = io.BytesIO()
    try:
        with _exporting, torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters of them the comparison finds
            module.eval()  # the exporter gives all layers the mode of the outermost
            torch.onnx.export(
                module,
                (example,),
                buffer,  # type: ignore[arg-type]
                dynamo=False,
                opset_version=_OPSET,
                input_names=["input"],
                dynamic_axes={"input": sizes},
            )
    except (RuntimeError, TypeError, ValueError) as error:  # what the exporter and tracing raise
        raise ExportError(f"it does not export to ONNX ({_first_line(error)})") from error
    return buffer.getvalue()


def _compare(graph: Graph, module: torch.nn.Module, example: torch.Tensor) -> None:
    """Raises ExportError unless the graph gives what the module gives."""
    with torch.inference_mode():
        pairs = zip(graph(example), module(example), strict=True)
        for index, (found, wanted) in enumerate(pairs):
            if found.shape != wanted.shape:
                raise ExportError(
                    f"output {index} has the shape {tuple(found.shape)}, not {tuple(wanted.shape)}"
                )
            off, most = float((found - wanted).abs().max()), float(wanted.abs().max())
            if not off <= TOLERANCE * most:
                raise ExportError(f"output {index} is off by {off:.2g} of {most:.2g}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def pick_runtime(name: str, device: torch.device, dtype: torch.dtype) -> str:
    """``torch``, ``onnxruntime``, ``openvino``, or ``auto``: ONNX Runtime on a CPU in fp32, else PyTorch.

    Raises ModelError: the runtime is not installed, or does not compute on this device in this precision.
    """
    fits = device.type == "cpu" and dtype == torch.float32
    if name == "auto":
        return OnnxGraph.runtime if fits else TorchGraph.runtime
    if name == TorchGraph.runtime:
        return name
    if not fits:
        raise ModelError(
            f"models.runtime is {name}, which computes here on CPUs in fp32 alone; set it to auto, or "
            "models.device to cpu and models.precision to fp32"
        )
    if importlib.util.find_spec(name) is None:
        how = OPENVINO_EXTRA if name == OpenVinoGraph.runtime else f"pip install {name}"
        raise ModelError(f"models.runtime is {name}, which is not installed: {how}, or set it to auto")
    return name
