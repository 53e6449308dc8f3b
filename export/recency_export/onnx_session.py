"""onnxruntime as serving opens it, for the exporter's own look at its graphs; imports no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from recency_features.spec import INPUTS

Arrays = dict[str, npt.NDArray[np.generic]]


def open_model(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """An onnxruntime session as serving opens it: CPU, no spinning."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def feed(request: Arrays, model: str) -> Arrays:
    """The inputs of one model among a request's."""
    return {tensor.name: request[tensor.name] for tensor in INPUTS[model]}
