"""The gateway: gRPC in, one batched Triton call, policy, gRPC out. Imports neither torch nor transformers."""
