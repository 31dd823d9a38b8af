"""One measurement of optimum-benchmark: ``FOLDER TOKENS THREADS MEMORY`` -> ``ANSWER`` and JSON."""

import json
import sys

from optimum_benchmark import Benchmark, BenchmarkConfig, InferenceConfig, ProcessConfig
from optimum_benchmark.backends.onnxruntime.config import ORTConfig


def main(folder: str, tokens: str, threads: str, memory: str) -> None:
    how = {"intra_op_num_threads": int(threads), "inter_op_num_threads": 1}
    backend = ORTConfig(
        device="cpu",
        task="text-classification",
        library="transformers",
        model=folder,
        session_options=how if int(threads) else {},
    )
    scenario = InferenceConfig(
        latency=True,
        memory=memory == "memory",
        input_shapes={"batch_size": 1, "sequence_length": int(tokens)},
        iterations=100,
        duration=2,
    )
    report = Benchmark.launch(
        BenchmarkConfig(
            name="measuring", launcher=ProcessConfig(), scenario=scenario, backend=backend
        )
    )
    forward = report.to_dict()["forward"]
    held = forward["memory"]["max_ram"] if memory == "memory" else None
    answer = {"seconds": forward["latency"]["values"], "max_ram_mb": held}
    # Its processes write logs to standard output, too, at any time.
    print(f"\nANSWER {json.dumps(answer)}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
