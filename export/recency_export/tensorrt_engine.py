"""The two calls into TensorRT itself: build a plan, run a plan. Import only where `to_tensorrt.missing()` is empty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recency_export.errors import ExportError
from recency_export.tensorrt_profiles import VALUES
from recency_export.to_tensorrt import Build
from recency_inference.warm import Arrays

_WORKSPACE_BYTES = 2 << 30


def build_plan(build: Build, target: Path) -> None:
    """Writes the plan of a graph (the item vectors beside the graph are read with it)."""
    import tensorrt

    logger = tensorrt.Logger(tensorrt.Logger.WARNING)
    builder = tensorrt.Builder(logger)
    network = builder.create_network(0)
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(build.graph)):
        errors = "; ".join(str(parser.get_error(number)) for number in range(parser.num_errors))
        raise ExportError(f"{build.graph}: TensorRT cannot read this graph: {errors}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    if build.precision == "fp16":
        config.set_flag(tensorrt.BuilderFlag.FP16)
    else:
        config.clear_flag(tensorrt.BuilderFlag.TF32)
    profile = builder.create_optimization_profile()
    for name, shapes in build.profiles.items():
        given = profile.set_shape_input if name in VALUES else profile.set_shape
        given(name, shapes.least, shapes.usual, shapes.most)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ExportError(f"{build.graph}: TensorRT builds no plan of this graph; its log above says at which layer")
    target.write_bytes(bytes(plan))


def run_plan(plan: Path, inputs: Arrays) -> Arrays:
    """One call of a plan on the GPU."""
    import tensorrt
    import torch

    runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.WARNING))
    engine = runtime.deserialize_cuda_engine(plan.read_bytes())
    context = engine.create_execution_context()
    kept: dict[str, Any] = {}
    for name, array in inputs.items():
        # A value that is a size is read by the host.
        device = "cpu" if engine.is_shape_inference_io(name) else "cuda"
        kept[name] = torch.from_numpy(np.ascontiguousarray(array)).to(device)
        context.set_input_shape(name, tuple(array.shape))
        context.set_tensor_address(name, kept[name].data_ptr())
    outputs: dict[str, Any] = {}
    for number in range(engine.num_io_tensors):
        name = engine.get_tensor_name(number)
        if engine.get_tensor_mode(name) == tensorrt.TensorIOMode.OUTPUT:
            kind = torch.from_numpy(np.zeros(0, tensorrt.nptype(engine.get_tensor_dtype(name)))).dtype
            outputs[name] = torch.empty(tuple(context.get_tensor_shape(name)), dtype=kind, device="cuda")
            context.set_tensor_address(name, outputs[name].data_ptr())
    stream = torch.cuda.current_stream()
    if not context.execute_async_v3(stream.cuda_stream):
        raise ExportError(f"{plan}: TensorRT does not run this plan; its log above says why")
    stream.synchronize()
    return {name: tensor.cpu().numpy() for name, tensor in outputs.items()}
