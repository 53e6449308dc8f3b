"""Triton's `onnxruntime` backend in Python, for the wheel's server, which carries no native one.

Runs inside Triton's stub process, under the system's Python, so it imports nothing of Recency. Beside this file lies
`site_packages.txt` (written by `recency_inference.environment`): where numpy 1.26 and onnxruntime are. The stub reads no
PYTHONPATH, and with numpy 2 its outputs have the right shape and no bytes.

No exception leaves `execute`: one that does leaks the request's shared memory (triton-inference-server issue 7481).
"""

import contextlib
import importlib
import json
import os
import sys
import threading
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, Path(__file__).with_name("site_packages.txt").read_text(encoding="utf-8").strip())


def _give_way():
    """Puts this thread into the idle class, for good: leaving it would need a right."""
    with contextlib.suppress(OSError):
        # 0 is this thread.
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _giving_way(call, *arguments):
    """What `call` gives, run in a thread of the idle class: a version that loads must not take the cores from those that
    answer. The class is that thread's alone, and it ends with it: taking it needs no right, leaving it would.
    """
    outcome = []

    def run():
        _give_way()
        try:
            outcome.append((call(*arguments), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


# Most of what a start takes.
np = _giving_way(importlib.import_module, "numpy")
onnxruntime = _giving_way(importlib.import_module, "onnxruntime")
pb_utils = importlib.import_module("triton_python_backend_utils")


class TritonPythonModel:
    """One model instance: one onnxruntime session over `<version>/model.onnx`."""

    def initialize(self, args):
        """Opens the session; what it raises becomes the reason why this version failed to load."""
        config = json.loads(args["model_config"])
        path = (
            Path(args["model_repository"])
            / args["model_version"]
            / (config.get("default_model_filename") or "model.onnx")
        )
        self._session = _giving_way(_opened, path, _options(config.get("parameters", {})), _providers(args))
        self._inputs = [tensor.name for tensor in self._session.get_inputs()]
        self._outputs = [tensor.name for tensor in self._session.get_outputs()]
        _require_same("inputs", self._inputs, [tensor["name"] for tensor in config["input"]], path)
        _require_same("outputs", self._outputs, [tensor["name"] for tensor in config["output"]], path)
        self._batched = config.get("max_batch_size", 0) > 0

    def finalize(self):
        """What is left of this process is its end, which takes the interpreter and the system 0.1 s of a core."""
        _give_way()

    def execute(self, requests):
        """One response a request, in order."""
        if self._batched and len(requests) > 1:
            return self._together(requests)
        return [self._alone(request) for request in requests]

    def _alone(self, request):
        try:
            names = request.requested_output_names()
            arrays = self._session.run(names, self._feeds(request))
            return _response(names, arrays)
        except Exception as error:
            return _refusal(error)

    def _together(self, requests):
        """Requests of the dynamic batcher, concatenated into one run. It gathers equal shapes only; what it gathered
        otherwise, or what fails together, runs alone, so that one bad request fails itself."""
        try:
            feeds = [self._feeds(request) for request in requests]
            joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in self._inputs}
            arrays = self._session.run(self._outputs, joined)
            ends = np.cumsum([len(feed[self._inputs[0]]) for feed in feeds])[:-1]
            rows = zip(*(np.split(array, ends) for array in arrays), strict=True)
            return [_response(self._outputs, row) for row in rows]
        except Exception:
            return [self._alone(request) for request in requests]

    def _feeds(self, request):
        # as_numpy is a view of the shared memory, and onnxruntime reads it in place.
        return {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}


def _opened(path, options, providers):
    return onnxruntime.InferenceSession(str(path), options, providers=providers)


def _options(parameters):
    """Session options from the parameters of config.pbtxt, by the names that the native backend gives them."""
    values = {key: value["string_value"] for key, value in parameters.items()}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(values.pop("intra_op_thread_count", "1"))
    options.inter_op_num_threads = int(values.pop("inter_op_thread_count", "1"))
    for key, value in values.items():
        if key.startswith("session."):
            options.add_session_config_entry(key, value)
    return options


def _providers(args):
    """CUDA where Triton placed this instance on a GPU and the installed onnxruntime can use it."""
    if args["model_instance_kind"] == "GPU" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return [("CUDAExecutionProvider", {"device_id": int(args["model_instance_device_id"])}), "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]


def _require_same(what, found, configured, path):
    """The native backend refuses a graph that differs from config.pbtxt; so does this one."""
    if sorted(found) != sorted(configured):
        raise ValueError(f"{path}: the graph's {what} are {sorted(found)}, config.pbtxt says {sorted(configured)}")


def _response(names, arrays):
    return pb_utils.InferenceResponse([pb_utils.Tensor(n, a) for n, a in zip(names, arrays, strict=True)])


def _refusal(error):
    """The error response for one request, as the caller's fault where onnxruntime says so."""
    # TritonError joins pb_utils after this module is imported.
    codes = pb_utils.TritonError
    code = codes.INVALID_ARGUMENT if type(error).__name__ == "InvalidArgument" else codes.INTERNAL
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"{type(error).__name__}: {error}", code))
