"""Build the jobs for the measured processes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgeadapt.measure.jobs import FirstLabelJob
from edgeadapt.measure.timed_jobs import BulkJob, FixedInput, MeasureJob
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.plan import Plan
from edgeadapt.text import Text, TextEncoder, text_of

__all__ = ["Subject", "bulk_job", "first_label_job", "measure_job", "scaling_job"]

SCALING_TOKENS = 64
"""Length in tokens at which the number of threads is varied."""
LEAK_READINGS = 50
"""Number of memory readings in the leak check."""
_WORDS = "the room was small and the food came late but we would go back again"
"""Text for measurements that need no real text, or where there is none."""


@dataclass(frozen=True)
class Subject:
    """A variant of a bundle to measure, on an engine."""

    bundle: Bundle
    variant: str
    engine: str | None = None
    """Engine; ``None`` for the one in the manifest."""

    @property
    def title(self) -> str:
        """The name of the variant, with the engine where it is not the one in the manifest."""
        return f"{self.variant}@{self.engine}" if self.engine else self.variant

    def __str__(self) -> str:
        return f"{self.bundle.name}:{self.title}"


def measure_job(subject: Subject, plan: Plan, threads: int, texts: Sequence[Text]) -> MeasureJob:
    """Returns the job for latency at fixed lengths and over real texts, and their logits."""
    return MeasureJob(
        bundle=str(subject.bundle.path),
        variant=subject.variant,
        engine=subject.engine,
        threads=threads,
        fixed=_fixed_inputs(subject.bundle, plan.lengths),
        texts=texts,
        timed=min(plan.timed, len(texts)),
        seconds=plan.seconds / plan.rounds,
        warmup=plan.warmup,
        repeats=plan.repeats,
    )


def scaling_job(subject: Subject, plan: Plan, threads: int) -> MeasureJob:
    """Returns the job for latency at one length."""
    length = min(SCALING_TOKENS, subject.bundle.manifest.max_length)
    return measure_job(subject, replace(plan, lengths=(length,)), threads, texts=())


def bulk_job(subject: Subject, plan: Plan, threads: int, texts: Sequence[Text]) -> BulkJob:
    """Returns the job for throughput, energy and memory leaks.

    For a variant that is run text by text, only batch size 1 is measured.
    """
    variant = subject.bundle.variant(subject.variant)
    return BulkJob(
        bundle=str(subject.bundle.path),
        variant=subject.variant,
        engine=subject.engine,
        threads=threads,
        texts=texts[: plan.bulk] or [_made_up(_WORDS, subject.bundle)] * plan.bulk,
        batches=plan.batches if variant.is_batchable else (1,),
        passes=plan.passes,
        seconds=plan.seconds / max(1, plan.bulks),
        calls=plan.calls,
        readings=LEAK_READINGS,
    )


def first_label_job(subject: Subject, threads: int, texts: Sequence[Text]) -> FirstLabelJob:
    """Returns the job for a cold start."""
    text = texts[0] if texts else _made_up("A short text.", subject.bundle)
    return FirstLabelJob(
        bundle=str(subject.bundle.path),
        variant=subject.variant,
        engine=subject.engine,
        threads=threads,
        text=text,
    )


def _fixed_inputs(bundle: Bundle, lengths: Sequence[int]) -> list[FixedInput]:
    """Returns tokens of exactly the given lengths: plain words, repeated and truncated."""
    encoder = bundle.text_encoder()
    inputs = []
    for length in lengths:
        if length > bundle.manifest.max_length:
            continue
        cut = TextEncoder(
            encoder.tokenizer, max_length=length, pad_id=encoder.pad_id, pairs=encoder.pairs
        )
        (tokens,) = cut.encode([_made_up(" ".join([_WORDS] * length), bundle)])
        inputs.append(FixedInput(tokens.ids, tokens.type_ids))
    return inputs


def _made_up(text: str, bundle: Bundle) -> Text:
    """Returns a text or a pair, whichever the bundle takes."""
    return text_of([text] * (2 if bundle.manifest.pairs else 1))
