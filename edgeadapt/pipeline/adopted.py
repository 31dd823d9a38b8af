"""A classifier that was not trained here becomes a run: its labels, its scores, its files."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edgeadapt import __version__
from edgeadapt.data import TEXT_COLUMNS, Dataset, Examples, fingerprint
from edgeadapt.data.report import report_coverage
from edgeadapt.errors import DataError, UsageError
from edgeadapt.measure.machine import describe_machine
from edgeadapt.metrics import Score, check_finite, score
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.inference import torch_logits
from edgeadapt.models.sources import ModelSource
from edgeadapt.models.tokenizer import TokenizerFiles
from edgeadapt.outputs import are_placeholders, listed, match_names, match_numbers, placeholders
from edgeadapt.pipeline.run_files import write_examples, write_model
from edgeadapt.progress import Progress
from edgeadapt.recipe import DataConfig, Recipe, Task
from edgeadapt.store.folders import staged_folder
from edgeadapt.store.machine import TrainingMachine
from edgeadapt.store.run import Run, RunInfo
from edgeadapt.store.training import DataReport, FrozenHashes, Imported
from edgeadapt.training.datasets import load_dataset
from edgeadapt.training.objectives import EVALUATION_BATCH

__all__ = ["Adopted", "Head", "labelled", "no_data", "read_data"]

_NO_DATA = "none"
"""What the recipe names as its data set where there was none."""
_NAME_THEM = "Name the head's outputs, in their order: --labels NAME,NAME"


@dataclass(frozen=True)
class Head:
    """What is known of the outputs of a finished head."""

    where: str
    """Where it comes from, for messages."""
    outputs: int | None
    """How many; ``None`` where there is no head to count them in."""
    own: tuple[str, ...] | None
    """The names that were given to them where the head was trained."""
    base: tuple[str, ...] | None = None
    """The names that the backbone's config.json gives, where it has as many and the head itself
    gives none. The head may have been trained for other labels since."""

    def names(
        self, asked: tuple[str, ...] | None, dataset: Dataset | None, *, progress: Progress
    ) -> tuple[str, ...]:
        """Returns the names of the outputs, in their order; placeholders where nobody knows them.

        The head's own count before those that the user gives, these before the backbone's, and
        these before the data's, where the data has them in an order.

        Args:
            asked: Those of ``--labels``.
            dataset: The examples, where there are any.
            progress: Where to say whose names were taken for those of a head without names.

        Raises:
            UsageError: ``--labels`` contradicts the head.
            DataError: There are more or fewer names than outputs, or no way to tell which is
                whose.
        """
        own = None if self.own is None or are_placeholders(self.own) else self.own
        if asked is not None and own is not None and asked != own:
            raise UsageError(
                f"--labels: the outputs of {self.where} have names of their own: expected "
                f"{listed(own)}, found {listed(asked)}.",
                hint="Leave --labels out; where the names are wrong, correct them in its files.",
            )
        names = own or asked or self.base or self.own
        if names is None:
            names = self._of_data(dataset)
        if self.outputs is not None and len(names) != self.outputs:
            raise DataError(
                f"{self.where}: the head has {self.outputs} outputs: expected as many labels, "
                f"found {len(names)}: {listed(names)}.",
                hint=f"labels.json beside the data, a JSON list, names all labels. {_NAME_THEM}",
            )
        if not own and not asked and not are_placeholders(names):
            whose = "the base model" if self.base else "the data"
            progress.say(
                f"The outputs of {self.where} have no names: those of {whose} are taken, in "
                f"their order: {listed(names)}."
            )
        return names

    def _of_data(self, dataset: Dataset | None) -> tuple[str, ...]:
        if dataset is None:
            return placeholders(self.outputs or 2)
        names = dataset.label_names
        if self.outputs is not None and len(names) != self.outputs:
            return names  # whose number is refused
        numbers = match_numbers(placeholders(len(names)), names)
        if not dataset.has_label_order and not numbers:
            raise DataError(
                f"{self.where}: the outputs of the head have no names, and the data does not say "
                f"the order of its labels, {listed(names)}: which output is which is unknown.",
                hint=f"{_NAME_THEM}; or put a labels.json beside the data.",
            )
        return names


@dataclass(frozen=True)
class _Scores:
    """On held-out text; ``None`` without data."""

    validation: Score | None = None
    test: Score | None = None


@dataclass(frozen=True)
class Adopted:
    """A finished classifier, and what it is to be kept with."""

    recipe: Recipe
    source: ModelSource
    """The backbone."""
    origin: Imported
    classifier: AdaptedClassifier
    tokenizer: TokenizerFiles
    dataset: Dataset | None
    """Examples with label indices in the order of the head's outputs."""

    def keep(self, target: Path, *, force: bool, progress: Progress) -> Run:
        """Writes it as a run at ``target``.

        Raises:
            OutputExistsError: There is something at ``target`` and ``force`` is not given.
        """
        self.classifier.model.eval()
        if self.dataset is not None:
            splits = {"validation": self.dataset.validation.texts, "test": self.dataset.test.texts}
            report_coverage(splits, self.tokenizer.encoder, progress)
        with staged_folder(target, force=force) as staging, progress.task("import", 1) as task:
            task.advance(note=self.recipe.adapter.method)
            write_model(staging, self.classifier, self.tokenizer)
            Run.write(staging, self._info(self._scores(staging, title=target.name)))
        return Run.open(target)

    def _scores(self, folder: Path, *, title: str) -> _Scores:
        if self.dataset is None:
            return _Scores()
        model, encoder, task = self.classifier.model, self.tokenizer.encoder, self.recipe.data.task
        held_out = self.dataset.validation
        logits = torch_logits(model, encoder, held_out.texts, batch_size=EVALUATION_BATCH)
        check_finite(logits, where=f"{title}, validation texts")
        test = write_examples(
            folder, self.classifier, encoder, self.dataset, task=task, title=title
        )
        return _Scores(score(logits, held_out.known_labels(), task=task), test)

    def _info(self, scores: _Scores) -> RunInfo:
        classifier, dataset, data = self.classifier, self.dataset, self.recipe.data
        trainable, total = classifier.count_parameters()
        frozen = classifier.frozen_sha256()
        splits = {} if dataset is None else {"validation": dataset.validation, "test": dataset.test}
        return RunInfo(
            recipe=self.recipe,
            labels=tuple(classifier.model.config.id2label.values()),
            pad_id=self.tokenizer.encoder.pad_id,
            backbone=self.source.describe(),
            frozen_sha256=FrozenHashes(frozen, frozen),
            trainable_parameters=trainable,
            total_parameters=total,
            data=DataReport(
                examples={name: len(examples) for name, examples in splits.items()},
                fingerprint=None if dataset is None else fingerprint(dataset),
            ),
            validation=scores.validation,
            test=scores.test,
            best_epoch=0,
            seconds=0.0,
            examples_per_second=0.0,
            machine=TrainingMachine(**vars(describe_machine())),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            edgeadapt=__version__,
            task=data.task,
            pairs=data.pairs,
            imported=self.origin,
        )


def no_data(*, task: Task | None, pairs: bool | None = None) -> DataConfig:
    """Stands for data of the classifier's own kind, where there was none.

    Args:
        task: How many labels a text has; one where it is not known.
        pairs: Whether it reads pairs of texts.
    """
    return DataConfig(
        dataset=_NO_DATA,
        text_pair_column=TEXT_COLUMNS[1] if pairs else None,
        multi_label=task is Task.MULTI_LABEL,
    )


def read_data(
    data: DataConfig | None, task: Task | None, *, where: str, progress: Progress
) -> tuple[DataConfig | None, Dataset | None]:
    """Reads examples as the classifier's own kind of labels asks for.

    Args:
        data: Where they are; ``None`` without any.
        task: How many labels a text has, where the classifier's files say it.
        where: The classifier's place, for messages.
        progress: Where to say how labels are read.

    Raises:
        DataError: They cannot be read, or ``multi_label`` contradicts the classifier.
    """
    if data is None:
        return None, None
    if data.multi_label and task is Task.SINGLE_LABEL:
        raise DataError(
            f"{where}: problem_type: the classifier is {task}: expected data without "
            "--multi-label, found --multi-label.",
            hint="Leave --multi-label out; where problem_type is wrong, correct it in config.json.",
        )
    if task is Task.MULTI_LABEL and not data.multi_label:
        progress.say(f"{where} is {task}: the data is read as with --multi-label.")
        data = replace(data, multi_label=True)
    return data, load_dataset(data, progress=progress)


def labelled(
    dataset: Dataset, labels: tuple[str, ...], *, where: str, progress: Progress
) -> Dataset:
    """Returns the examples with label indices in the order of the head's outputs.

    Args:
        dataset: As it was read.
        labels: Names of the outputs.
        where: The head's place, for messages.
        progress: Where to say which names are not the same to the letter.

    Raises:
        DataError: The data has other labels.
    """
    found = dataset.label_names
    match = match_names(labels, found) or match_numbers(labels, found)
    if match is None:
        raise DataError(
            f"The data has other labels than {where}: expected {listed(labels)}, found "
            f"{listed(found)}.",
            hint=_NAME_THEM
            if are_placeholders(labels)
            else f"labels.json beside the data, a JSON list, names all labels. {_NAME_THEM}",
        )
    if match.note:
        progress.say(f"{where}: {match.note}.")
    return _moved(dataset, np.array(match.order), labels)


def _moved(dataset: Dataset, places: np.ndarray, labels: tuple[str, ...]) -> Dataset:
    """Puts label ``i`` of the data at ``places[i]``."""

    def moved(examples: Examples) -> Examples:
        known = examples.known_labels()
        if known.ndim == 1:
            return Examples(examples.texts, places[known])
        columns = np.empty_like(known)
        columns[:, places] = known
        return Examples(examples.texts, columns)

    return replace(
        dataset,
        train=moved(dataset.train),
        validation=moved(dataset.validation),
        test=moved(dataset.test),
        label_names=labels,
    )
