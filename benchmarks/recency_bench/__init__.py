"""Benchmarks over the real processes: every figure the project quotes is printed by one of these."""
