"""``edgeadapt bench``: measure bundles and write a record."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from edgeadapt.benchmark.evaluation import EvaluationFile, evaluation_of
from edgeadapt.benchmark.jobs import first_label_job
from edgeadapt.benchmark.plan import PLANS, Effort
from edgeadapt.benchmark.runner import Subject, measure
from edgeadapt.errors import MeasurementError, MissingError, UsageError
from edgeadapt.measure.child import run_job
from edgeadapt.measure.machine import usable_cores
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import EngineName
from edgeadapt.runtime import ENGINES
from edgeadapt.store import artifacts
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.folders import check_file_free, held
from edgeadapt.store.plan import Plan
from edgeadapt.store.record import Record

__all__ = ["bench"]

_FULL = "full"
_MODULES: Mapping[str, Sequence[str]] = MappingProxyType(
    {EngineName.TORCH: ("torch", "transformers"), EngineName.OPENVINO: ("openvino",)}
)
"""Engine -> its module and extra, beyond the base install."""


def bench(
    bundles: Sequence[Bundle],
    *,
    plan: Plan = PLANS[Effort.DEFAULT],
    data: EvaluationFile | None = None,
    baseline: str | None = None,
    engines: Sequence[str] = (),
    threads: int | None = None,
    output: Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> tuple[Record, Path]:
    """Measures every variant of every bundle in fresh processes.

    Args:
        bundles: The bundles to measure.
        plan: Numbers of processes, runs and texts.
        data: A file to evaluate on, instead of the test text in the bundles.
        baseline: ``BUNDLE`` (its fp32) or ``BUNDLE:VARIANT``; by default the fp32 variant of a
            full fine-tune, if there is one, else of the first bundle.
        engines: Engines to run the variants on; by default those in the manifests. A variant is
            skipped on engines that cannot read it.
        threads: CPU threads for every engine; all cores by default.
        output: File of the record; by default an unused name under ``artifacts/records``.
        force: Replace an existing record.
        progress: Where to report.

    Returns:
        The record and its path.

    Raises:
        UsageError: A name, a thread count or a mix of evaluation sets is wrong.
        LayoutError: A bundle is damaged.
    """
    _check_bundles(bundles)
    if threads is not None and not 1 <= threads <= usable_cores():
        raise UsageError(
            f"--threads: expected at least 1 and at most {usable_cores()}, the cores that this "
            f"process may use, found {threads}.",
            hint="Leave it out for all cores.",
        )
    _check_plan(plan, bundles, progress)
    path = output or artifacts.new_name(artifacts.records(), "bench", suffix=".json")
    check_file_free(path, force=force)
    with held(path):
        for bundle in bundles:
            bundle.verify()
        subjects = _subjects(bundles, engines, progress)
        record = measure(
            subjects,
            plan=plan,
            threads=threads or usable_cores(),
            evaluation=evaluation_of(bundles, data, progress=progress),
            baseline=_baseline(subjects, baseline),
            progress=progress,
        )
        check_file_free(path, force=force)  # it may have been created meanwhile
        record.write(path)
    return record, path


def _check_bundles(bundles: Sequence[Bundle]) -> None:
    """Rejects an empty list, and two bundles with the same name.

    Raises:
        MissingError: There is none.
        UsageError: Two have the same name.
    """
    if not bundles:
        raise MissingError(
            f"There is no bundle under {artifacts.bundles()}.",
            hint="Write one with `edgeadapt export --quantize`, or name the bundle to measure.",
        )
    names = [bundle.name for bundle in bundles]
    if len(set(names)) < len(names):
        raise UsageError(
            f"Two bundles have the same name: found {', '.join(names)}.",
            hint="Rows of the table are named after bundles: rename one of the folders.",
        )


def _check_plan(plan: Plan, bundles: Sequence[Bundle], progress: Progress) -> None:
    """Rejects counts that cannot be measured, and reports lengths above the longest input.

    Raises:
        UsageError: One is too small, or all lengths are above the longest input.
    """
    longest = max(bundle.manifest.max_length for bundle in bundles)
    shortest = max(_shortest(bundle) for bundle in bundles)
    for length in plan.lengths:
        if length < shortest:
            raise UsageError(
                f"--lengths: expected at least {shortest} tokens, of which "
                f"{shortest - 1 - bundles[0].manifest.pairs} are special ones, found {length}."
            )
    if plan.lengths and min(plan.lengths) > longest:
        raise UsageError(
            f"--lengths: expected at most {longest} tokens, to which these bundles cut every "
            f"text, found {', '.join(map(str, plan.lengths))}."
        )
    if too_long := [str(length) for length in plan.lengths if length > longest]:
        progress.say(
            f"{', '.join(too_long)} tokens are left out: these bundles cut every text to {longest}."
        )
    if plan.batches and min(plan.batches) < 1:
        raise UsageError(f"--batch: expected at least 1, found {min(plan.batches)}.")


def _shortest(bundle: Bundle) -> int:
    """Tokens of the shortest text: the special tokens, and one for each part."""
    pairs = bundle.manifest.pairs
    return int(bundle.text_encoder().tokenizer.num_special_tokens_to_add(pairs)) + 1 + pairs


def _subjects(
    bundles: Sequence[Bundle], engines: Sequence[str], progress: Progress
) -> list[Subject]:
    """All variants that can run on this machine, on each of the engines.

    Raises:
        MissingExtraError: A requested engine is not installed.
        UsageError: None of the variants runs on any of the engines.
    """
    for engine in engines:
        ENGINES[EngineName(engine)]()
    subjects = []
    for bundle in bundles:
        for name, variant in sorted(bundle.manifest.variants.items()):
            for engine in engines or (variant.engine,):
                subject = Subject(bundle, name, None if engine == variant.engine else engine)
                if why := _why_not(subject, engine):
                    progress.say(f"{subject} is left out: {why}")
                else:
                    subjects.append(subject)
    if not subjects:
        raise UsageError(
            f"No variant of these bundles runs here{' on ' * bool(engines)}{', '.join(engines)}.",
            hint="Leave --engine out to use the default engines, and install their extras.",
        )
    return subjects


def _why_not(subject: Subject, engine: str) -> str | None:
    """Returns why a variant does not run on an engine; ``None`` if it does."""
    needs = _MODULES.get(engine, ())
    if missing := [module for module in needs if not find_spec(module)]:
        return f"{missing[0]} is not installed."
    if subject.engine is None:
        return None
    own = subject.bundle.manifest.variants[subject.variant].engine
    if engine == EngineName.TORCH:
        return f"torch does not read {own}'s files; `edgeadapt export --with-torch` writes its own."
    if own == EngineName.TORCH:
        return f"{engine} does not read torch's files."
    try:
        run_job(first_label_job(subject, threads=1, texts=()))
    except MeasurementError as error:
        last = error.message.strip().splitlines()[-1]
        return f"{engine} cannot run it ({last[:200]})."
    return None


def _baseline(subjects: Sequence[Subject], wanted: str | None) -> Subject:
    if wanted is None:
        full = [s for s in subjects if s.bundle.manifest.provenance.method == _FULL]
        return next((s for s in (full or subjects) if s.variant == "fp32"), subjects[0])
    name, _, variant = wanted.partition(":")
    name = Path(name).name
    for subject in subjects:
        if (subject.bundle.name, subject.title) == (name, variant or "fp32"):
            return subject
    raise UsageError(
        f"--baseline: no row {wanted!r}: expected one of {', '.join(map(str, subjects))}.",
        hint="A bundle's name alone means its fp32.",
    )
