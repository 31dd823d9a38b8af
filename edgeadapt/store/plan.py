"""How much a benchmark measures."""

from dataclasses import dataclass, replace

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """Counts; all of them are per variant."""

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
    """Real texts that the first process answers (accuracy); further ones answer ``timed``."""
    timed: int = 80
    """Real texts that every process answers under the clock, one after another."""
    seconds: float = 0
    """What real texts take at least, all processes together, one by one and in bulk."""
    batches: tuple[int, ...] = (1, 8, 32)
    """Batch sizes of the throughput."""
    bulks: int = 2
    """Fresh processes that measure throughput, then whether memory leaks."""
    bulk: int = 256
    """Real texts that are answered at each batch size."""
    passes: int = 3
    """Times that they are, per process."""
    calls: int = 1_000
    """Texts answered one after another to see whether memory leaks, per process."""
    scaling: int = 2
    """Fresh processes per number of threads."""

    def without_times(self) -> "Plan":
        """Returns the plan of what does not depend on speed, for emulated machines."""
        return replace(
            self, lengths=(), rounds=1, starts=0, timed=0, seconds=0, batches=(), bulks=0, scaling=0
        )
