"""What the measured processes are asked to do."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgeadapt.measure.jobs import FirstLabelJob
from edgeadapt.measure.timed_jobs import BulkJob, FixedInput, MeasureJob
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.plan import Plan
from edgeadapt.text import Text, TextEncoder, text_of

__all__ = ["Subject", "bulk_job", "first_label_job", "measure_job", "scaling_job"]

SCALING_TOKENS = 64
"""At which the number of threads is varied."""
LEAK_READINGS = 50
"""Of the memory in the course of the leak check."""
_WORDS = "the room was small and the food came late but we would go back again"
"""What is measured where no real text is needed, or none is at hand."""


@dataclass(frozen=True)
class Subject:
    """One variant of one bundle, under measurement."""

    bundle: Bundle
    variant: str
    engine: str | None = None
    """Another engine than the manifest's; ``None`` for that."""

    @property
    def title(self) -> str:
        """The variant's name, with the engine where it is not the manifest's."""
        return f"{self.variant}@{self.engine}" if self.engine else self.variant

    def __str__(self) -> str:
        return f"{self.bundle.name}:{self.title}"


def measure_job(subject: Subject, plan: Plan, threads: int, texts: Sequence[Text]) -> MeasureJob:
    """Latency at fixed lengths and over real texts, and the answers to those."""
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
    """Latency at one length."""
    length = min(SCALING_TOKENS, subject.bundle.manifest.max_length)
    return measure_job(subject, replace(plan, lengths=(length,)), threads, texts=())


def bulk_job(subject: Subject, plan: Plan, threads: int, texts: Sequence[Text]) -> BulkJob:
    """Throughput, the energy that it takes, and a leak check.

    A variant that is run text by text has no throughput at larger batches.
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
    """One answer, as soon as possible."""
    text = texts[0] if texts else _made_up("A short text.", subject.bundle)
    return FirstLabelJob(
        bundle=str(subject.bundle.path),
        variant=subject.variant,
        engine=subject.engine,
        threads=threads,
        text=text,
    )


def _fixed_inputs(bundle: Bundle, lengths: Sequence[int]) -> list[FixedInput]:
    """Tokens of exactly the given lengths: plain words, repeated and cut."""
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
    """A text in the form that the bundle takes."""
    return text_of([text] * (2 if bundle.manifest.pairs else 1))
