"""``TorchGraph``, ``OnnxGraph`` and ``OpenVinoGraph``: a part of a network, and what computes it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Protocol

import torch

from agent.domain.errors import ModelError

_TORCH_BATCH = 2
"""Images in one pass of a convolutional network of PyTorch on a CPU: its caches hold the maps of so many, and
larger passes are slower."""
_RUNTIME_BATCH = 8
"""Images in one pass of a runtime, which keeps the memory of its largest pass; more are no faster."""
OPENVINO_EXTRA = "pip install 'sightline[openvino]'"


class ExportError(ModelError):
    """A part that a runtime cannot compute; PyTorch can."""


class Graph(Protocol):
    """A part of a network, ready for batches of any count and size. Any thread may call it."""

    @property
    def runtime(self) -> str:
        """torch, onnxruntime or openvino."""
        ...

    def __call__(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(B, C, H, W) to its outputs, each with B rows.

        Raises RuntimeError if there is too little memory.
        """
        ...


class TorchGraph:
    """The module itself, on whatever device it lies."""

    runtime = "torch"

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module

    @torch.no_grad()
    def __call__(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if batch.device.type != "cpu":
            return tuple(self._module(batch))
        return _joined([self._module(part) for part in batch.split(_TORCH_BATCH)])


class OnnxGraph:
    """An ONNX graph in ONNX Runtime, on CPUs.

    Its threads sleep while they wait: those of decoder, recorder and broker share the cores.

    Raises ExportError if ONNX Runtime refuses the graph.
    """

    runtime = "onnxruntime"

    def __init__(self, content: bytes, threads: int) -> None:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as errors

        self._failures = (errors.Fail, errors.RuntimeException)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_mem_pattern = False  # one is kept for every shape, and images may have many
        options.log_severity_level = 3  # errors; they are raised as well
        refusals = (errors.InvalidGraph, errors.InvalidProtobuf, errors.NotImplemented, *self._failures)
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except refusals as error:
            raise ExportError(f"ONNX Runtime refuses the graph: {error}") from error
        self._input = self._session.get_inputs()[0].name

    def __call__(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return _joined([self._run(part) for part in batch.split(_RUNTIME_BATCH)])

    def _run(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        try:
            outputs = self._session.run(None, {self._input: batch.contiguous().numpy()})
        except self._failures as error:
            if "allocate memory" in str(error):
                raise MemoryError(str(error)) from error
            raise RuntimeError(f"ONNX Runtime failed: {error}") from error
        return tuple(torch.from_numpy(output) for output in outputs)


class OpenVinoGraph:
    """An ONNX graph in OpenVINO, on CPUs, in 32 bits on those that compute faster in fewer, too.

    Raises ExportError if OpenVINO refuses the graph.
    """

    runtime = "openvino"

    def __init__(self, content: bytes, threads: int) -> None:
        import openvino

        core = openvino.Core()
        how = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        }
        try:
            self._compiled = core.compile_model(core.read_model(content), "CPU", how)
        except RuntimeError as error:
            raise ExportError(f"OpenVINO refuses the graph: {error}") from error
        self._own = threading.local()
        """A request for each thread: one must not be used by two at once."""

    def __call__(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return _joined([self._run(part) for part in batch.split(_RUNTIME_BATCH)])

    def _run(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        request: Any = getattr(self._own, "request", None)
        if request is None:
            request = self._own.request = self._compiled.create_infer_request()
        found = request.infer([batch.contiguous().numpy()])
        return tuple(torch.from_numpy(found[output]) for output in self._compiled.outputs)


def _joined(parts: Sequence[tuple[torch.Tensor, ...]]) -> tuple[torch.Tensor, ...]:
    if len(parts) == 1:
        return tuple(parts[0])
    return tuple(torch.cat(output) for output in zip(*parts, strict=True))
