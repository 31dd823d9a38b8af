"""The classifier for applications: it predicts labels for texts."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from edgeadapt.errors import DataError, IntegrityError, UsageError
from edgeadapt.metrics import Logits, check_finite, decide, probabilities
from edgeadapt.recipe import Task
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import LoadedModel, text_logits
from edgeadapt.runtime.texts import as_texts
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.files import sha256
from edgeadapt.text import Text, TextEncoder, parts_of

__all__ = ["Classifier", "Prediction", "load"]


MOST_THREADS = 1_024
"""Most threads: above the number of cores of any machine, below the limits of systems."""


@dataclass(frozen=True)
class Prediction:
    """The prediction for one text."""

    label: str
    """Name of the most probable label."""
    score: float
    """Its probability, 0 to 1."""
    scores: Mapping[str, float]
    """Every label's probability, most probable first."""
    labels: tuple[str, ...]
    """All predicted labels, most probable first; multi-label, there may be none."""


@dataclass(frozen=True)
class Source:
    """The arguments from which a classifier was loaded; a pickle contains only these."""

    path: Path
    """Folder of the bundle, absolute."""
    manifest_sha256: str
    """Hash of its manifest, which in turn contains the hashes of all files."""
    variant: str
    threads: int | None
    engine: str | None


class Classifier:
    """A loaded variant of a bundle.

    Args:
        engine: Runs the model.
        encoder: The bundle's tokenizer.
        labels: Label names in the order of the logits.
        task: How many labels a text has.
        source: The arguments of ``load``; without them the classifier cannot be pickled.
    """

    def __init__(
        self,
        engine: LoadedModel,
        encoder: TextEncoder,
        labels: Sequence[str],
        *,
        task: Task = Task.SINGLE_LABEL,
        source: Source | None = None,
    ) -> None:
        self.engine = engine
        self.encoder = encoder
        self.labels = tuple(labels)
        self.task = task
        self.source = source

    def predict(self, texts: Iterable[Text], *, batch_size: int = 1) -> list[Prediction]:
        """Predicts the labels of texts; the predictions have the order of the texts.

        Args:
            texts: Any iterable of texts, or of pairs ``(first, second)`` where the model takes
                pairs: a list, a generator, a column of pandas, numpy or pyarrow. Texts that are
                longer than the longest input are truncated.
            batch_size: Texts per batch. It does not affect the predictions: a variant whose logits
                depend on the batch is run text by text, see ``Variant.is_batchable``.

        Raises:
            ModelError: A logit is NaN or infinite.
            DataError: A text is empty; the message gives its number, counted from 1.
            UsageError: ``texts`` is a single str, a mapping, a table or a file, ``batch_size`` is
                not an integer of at least 1, an element is not a text, or it is a pair where single
                texts are expected, or the other way round.
        """
        batch_size = _count(batch_size, "batch_size", hint="Leave it out to run texts one by one.")
        listed = as_texts(texts)
        self.encoder.check(listed)
        for number, text in enumerate(listed, 1):
            for part in parts_of(text):
                _check_readable(part, number)
        if not listed:
            return []
        logits = text_logits(self.engine, self.encoder, listed, batch_size=batch_size)
        check_finite(logits, where=self.engine.describe())
        return self._predictions(logits)

    def __reduce__(self) -> tuple[Callable[..., "Classifier"], tuple[object, ...]]:
        """Makes ``pickle`` and ``copy`` load the bundle again from its folder.

        Raises:
            UsageError: The classifier was not created by ``load``.
        """
        if self.source is None:
            raise UsageError(
                "This classifier cannot be pickled or copied: not created by edgeadapt.load.",
                hint="Load a bundle, and pickle or copy the result of edgeadapt.load.",
            )
        return _loaded_again, (self.source,)

    def _predictions(self, logits: Logits) -> list[Prediction]:
        order = np.argsort(-logits, axis=1, kind="stable")
        likely = np.take_along_axis(probabilities(logits, self.task), order, axis=1)
        given = np.take_along_axis(decide(logits, self.task), order, axis=1)
        return [
            Prediction(
                label=self.labels[ranked[0]],
                score=float(scores[0]),
                scores={self.labels[n]: float(s) for n, s in zip(ranked, scores, strict=True)},
                labels=tuple(self.labels[n] for n in ranked[is_given]),
            )
            for ranked, scores, is_given in zip(order, likely, given, strict=True)
        ]


def load(
    bundle: str | PathLike[str],
    *,
    variant: str | None = None,
    threads: int | None = None,
    engine: str | None = None,
) -> Classifier:
    """Loads a bundle and checks the hash of every file that it opens.

    Args:
        bundle: Folder of the bundle.
        variant: ``int8``, ``fp32`` or another name in the manifest; int8 by default, where it
            exists.
        threads: CPU threads; by default the engine decides.
        engine: ``onnxruntime``, ``openvino`` or ``torch``; by default the one in the manifest.

    Raises:
        LayoutError: There is no bundle, or it is unfinished, newer or damaged.
        UsageError: It has no such variant, or ``threads`` is below 1.
    """
    if threads is not None:
        threads = _count(
            threads, "--threads", most=MOST_THREADS, hint="Leave it out for all cores."
        )
    if not isinstance(bundle, str | PathLike):
        raise UsageError(
            f"load: expected the path of a bundle, found {bundle!r} ({type(bundle).__name__}).",
            hint='Name its folder, as in load("artifacts/bundles/reviews").',
        )
    opened = Bundle.open(Path(bundle))
    chosen = variant or opened.default_variant()
    path = opened.path.resolve()
    return Classifier(
        load_engine(opened, chosen, threads=threads, engine=engine),
        opened.text_encoder(),
        opened.manifest.labels,
        task=opened.manifest.task,
        source=Source(path, sha256(path / "manifest.json"), chosen, threads, engine),
    )


def _count(value: object, name: str, *, hint: str, most: int | None = None) -> int:
    """Returns an integer of at least 1; accepts numpy integers too.

    Raises:
        UsageError: It is not an integer, below 1 or above ``most``.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if number < 1 or (most is not None and number > most):
        limit = "at least 1" if most is None or number < 1 else f"at most {most:,}"
        raise UsageError(f"{name}: expected {limit}, found {value!r}.", hint=hint)
    return number


def _loaded_again(source: Source) -> Classifier:
    """Loads the bundle of a pickle or copy.

    Raises:
        IntegrityError: The bundle in the folder has changed.
        EdgeAdaptError: Whatever ``load`` raises.
    """
    classifier = load(
        source.path, variant=source.variant, threads=source.threads, engine=source.engine
    )
    if classifier.source != source:
        raise IntegrityError(
            f"{source.path} is not the bundle that this classifier was loaded from: its manifest "
            "has changed since.",
            hint="Load it again with edgeadapt.load.",
        )
    return classifier


def _check_readable(text: str, number: int) -> None:
    if not text.strip():
        raise DataError(
            f"Text {number} is empty: expected at least one character.",
            hint="Give texts as arguments, with --file, or one a line on standard input.",
        )
    # Python decodes bytes of the command line that are not UTF-8 to lone surrogates.
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise DataError(
            f"Text {number} is not UTF-8: found {text[:40]!r}.",
            hint="Encode it as UTF-8 first, as iconv -t UTF-8 does.",
        )
