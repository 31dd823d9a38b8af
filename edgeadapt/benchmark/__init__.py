"""Plan and run benchmarks, and compare their results."""
