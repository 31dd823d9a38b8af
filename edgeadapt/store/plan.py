"""The plan of a benchmark: numbers of processes, runs and texts."""

from dataclasses import dataclass, replace

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """Numbers of processes, runs and texts; all are per variant."""

    lengths: tuple[int, ...] = (16, 32, 64, 128)
    """Fixed token counts; those above a bundle's ``max_length`` are left out."""
    rounds: int = 8
    """Fresh measuring processes, interleaved over the variants."""
    repeats: int = 60
    """Timed runs per fixed length and process."""
    warmup: int = 10
    """Runs before the timed ones, per fixed length and process; not recorded."""
    starts: int = 10
    """Fresh processes timed from start to first label, interleaved over the variants."""
    texts: int = 2_000
    """Real texts that the first process classifies, for accuracy; the others classify ``timed``."""
    timed: int = 80
    """Real texts whose latency every process measures, one after another."""
    seconds: float = 0
    """Shortest total time for real texts over all processes, one by one and in batches."""
    batches: tuple[int, ...] = (1, 8, 32)
    """Batch sizes for throughput."""
    bulks: int = 2
    """Fresh processes that measure throughput, then whether memory leaks."""
    bulk: int = 256
    """Real texts that are classified at each batch size."""
    passes: int = 3
    """Passes over these texts, per process."""
    calls: int = 1_000
    """Texts classified one after another in the leak check, per process."""
    scaling: int = 2
    """Fresh processes per number of threads."""

    def without_times(self) -> "Plan":
        """Returns the plan without timing, for emulated machines."""
        return replace(
            self, lengths=(), rounds=1, starts=0, timed=0, seconds=0, batches=(), bulks=0, scaling=0
        )
