"""``edgeadapt train``: train a recipe and write a run."""

from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Self

import torch

from edgeadapt import __version__
from edgeadapt.data import Dataset
from edgeadapt.data.report import report_data
from edgeadapt.documents.mistakes import MISTAKES_FILE, write_mistakes
from edgeadapt.errors import TrainingError
from edgeadapt.interop import ForeignAdapter
from edgeadapt.interop.adapters import check_belongs, started, with_head_for
from edgeadapt.measure.machine import describe_machine
from edgeadapt.metrics import score
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.first_position import first_position_only
from edgeadapt.models.int8 import int8_simulated
from edgeadapt.models.run_files import write_examples, write_model
from edgeadapt.models.sources import ModelSource, find_model, pinned_model
from edgeadapt.models.tokenizer import TokenizerFiles, load_tokenizer
from edgeadapt.outputs import regression, rows_for
from edgeadapt.platforms import this_platform
from edgeadapt.progress import SILENT, Progress
from edgeadapt.quantize.per_platform import default_weight_bits
from edgeadapt.recipe import Recipe
from edgeadapt.store import artifacts
from edgeadapt.store.machine import TrainingMachine
from edgeadapt.store.run import UNFINISHED, Run, RunInfo
from edgeadapt.store.training import DataReport, FrozenHashes
from edgeadapt.training.checkpoints import Begun, Checkpoints
from edgeadapt.training.datasets import load_dataset, pinned_data
from edgeadapt.training.frozen import FrozenLayers
from edgeadapt.training.history import draw_curves, write_history
from edgeadapt.training.loop import choose_device, fit
from edgeadapt.training.objectives import Classification, Compute
from edgeadapt.training.outcome import Outcome
from edgeadapt.training.resumable import Resumable
from edgeadapt.training.team import Team
from edgeadapt.training.tensorboard import TensorBoard

__all__ = ["complete", "recipe_at", "resume", "run_stem", "train"]

_COMMAND = "edgeadapt train"


def train(
    recipe: Recipe,
    *,
    start: ForeignAdapter | None = None,
    output: Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> Run:
    """Trains adapters and head on a frozen backbone.

    Args:
        recipe: Model, data, adapter and optimization.
        start: The adapter of ``recipe.adapter.start``, if it is loaded already.
        output: Folder of the run; by default an unused name under ``artifacts/runs``.
        force: Replace an existing run.
        progress: Where to report.

    Raises:
        EdgeAdaptError: Any of its subclasses. An existing run is unchanged. If training had
            started, the folder contains a checkpoint for ``resume``.
        KeyboardInterrupt, SystemExit: SIGINT or SIGTERM was received; likewise.
    """
    if start is None:
        recipe, start = started(recipe)
    team = Team.launched()
    target = team.agreed(output or artifacts.new_name(artifacts.runs(), run_stem(recipe)))
    folder = Resumable(_COMMAND, target, team)
    with folder.held():
        folder.claim(force=force)
        work = _Work.prepare(recipe.resolved(), team, progress)
        return _finish(work, folder, start, anew=True)


def resume(target: Path, *, progress: Progress = SILENT) -> Run:
    """Resumes an interrupted training.

    On the same machine with the same number of threads, the weights are bitwise identical to those
    of an uninterrupted training.

    Args:
        target: Folder of the run.
        progress: Where to report.

    Raises:
        LayoutError: There is no unfinished training, or it is damaged.
        IntegrityError: The data or the backbone has changed.
        EdgeAdaptError: Any error of ``train``.
    """
    folder = Resumable(_COMMAND, target, Team.launched())
    with folder.held():
        begun = folder.begun()
        start = None if folder.has_state else started(begun.recipe)[1]
        work = _Work.prepare(begun.recipe, folder.team, progress)
        folder.check_same(begun, work.begun.sha256)
        return _finish(work, folder, start, anew=False)


def complete(
    recipe: Recipe, target: Path, *, force: bool = False, progress: Progress = SILENT
) -> Run:
    """Returns the run of a recipe at ``target``, and trains it first if necessary.

    A finished run is returned as it is, and an interrupted training is resumed.

    Args:
        recipe: The effective recipe, as recorded in a run or an unfinished training.
        target: Folder of the run.
        force: Train from the start and replace an existing run.
        progress: Where to report.

    Raises:
        EdgeAdaptError: Any error of ``train``; or ``target`` has a different recipe.
    """
    # Only the leading process checks, because it may start to write before the others check.
    known, finished = Team.launched().agreed(
        (not force and recipe_at(target) == recipe, (target / "run.json").is_file())
    )
    if known and finished:
        return Run.open(target)
    if known:
        return resume(target, progress=progress)
    return train(recipe, output=target, force=force, progress=progress)


def recipe_at(target: Path) -> Recipe | None:
    """Returns the recipe of the finished or interrupted run at ``target``; ``None`` without one."""
    if (target / "run.json").is_file():
        return Run.open(target).info.recipe
    begun = Checkpoints(target / UNFINISHED, every=0).has_begun()
    return Resumable(_COMMAND, target).begun().recipe if begun else None


@dataclass(frozen=True)
class _Work:
    """The loaded inputs of training."""

    recipe: Recipe
    device: torch.device
    compute: Compute
    dataset: Dataset
    source: ModelSource
    tokenizer: TokenizerFiles
    data_report: DataReport
    team: Team
    progress: Progress
    once: Progress
    """Receives messages that are the same for all folds of a cross-validation."""

    @classmethod
    def prepare(cls, recipe: Recipe, team: Team, progress: Progress) -> Self:
        progress = progress if team.leads else SILENT
        device = choose_device(recipe.training.device, team)
        is_fold = recipe.data.fold is not None
        # Warnings about model and data are reported once, not for every fold.
        once = SILENT if is_fold and recipe.data.fold_of[0] > 1 else progress
        dataset = load_dataset(recipe.data, progress=once)
        source = find_model(recipe.model)
        recipe = replace(
            recipe,
            model=pinned_model(recipe.model, source, progress=once),
            data=pinned_data(recipe.data),
        )
        tokenizer = load_tokenizer(
            source,
            max_length=recipe.model.max_length,
            pairs=recipe.data.pairs,
            progress=once,
        )
        report = report_data(dataset, tokenizer.encoder, once, is_fold=is_fold)
        compute = Compute.on(device, recipe.training)
        return cls(
            recipe, device, compute, dataset, source, tokenizer, report, team, progress, once
        )

    @cached_property
    def begun(self) -> Begun:
        """The inputs that must be unchanged when training is resumed; hashes all weights."""
        hashes = {
            "data": self.data_report.fingerprint or "",
            "backbone": self.source.sha256(),
            "tokenizer": self.tokenizer.encoder.sha256(),
        }
        return Begun(_COMMAND, self.recipe, hashes)

    def build(self, start: ForeignAdapter | None, told: Progress) -> AdaptedClassifier:
        """Attaches adapters and head to the backbone, with their initial weights.

        Args:
            start: The adapter to start from, or ``None``.
            told: Receives a note on the use of an existing head.

        Raises:
            ModelError: The backbone's head is for regression, or the adapter does not fit.
            IntegrityError: The adapter belongs to another backbone.
        """
        recipe, labels = self.recipe, self.dataset.label_names
        own = self.source.outputs()
        classifier = AdaptedClassifier.build(
            self.source,
            labels,
            recipe.adapter,
            depth=recipe.model.layers,
            task=recipe.data.task,
            rows=rows_for(
                own.names,
                labels,
                whose=self.source.id,
                own_task=own.task,
                task=recipe.data.task,
            ),
        )
        head = classifier.checkpoint_head
        if head.found and own.is_regression:
            raise regression(str(self.source.folder / "config.json"), outputs=len(own.names))
        if start is not None:
            check_belongs(
                start,
                classifier,
                self.source,
                self.tokenizer.encoder,
                head=None,
                where=str(recipe.adapter.start),
            )
            start, note = with_head_for(
                start, self.source, labels, task=recipe.data.task, where=str(recipe.adapter.start)
            )
            start.copy_to(classifier.adapter_parameters(), classifier.backbone.head)
            if note:
                told.say(note)
        if head.note and not (start and start.output_layer(self.source.spec) is not None):
            told.say(head.note)
        return classifier


def _finish(work: _Work, folder: Resumable, start: ForeignAdapter | None, *, anew: bool) -> Run:
    """Trains from the latest checkpoint or, with ``anew``, from the start; writes the run."""
    with folder.written(work.begun, anew=anew) as staging, ExitStack() as stack:
        # When training is resumed, the checkpoint replaces these initial weights.
        classifier = work.build(start, SILENT if folder.has_state else work.once)
        trainable, total = classifier.count_parameters()
        work.progress.say(
            f"Training {trainable:,} of {total:,} parameters ({trainable / total:.2%}) "
            f"on {work.device} in {work.compute.precision}, {len(work.dataset.train):,} examples."
        )
        if work.recipe.training.quant_aware:
            stack.enter_context(_as_int8(work, classifier))
        before = classifier.frozen_sha256()
        outcome = _fit(work, classifier, folder)
        after = classifier.frozen_sha256()
        if after != before:
            raise TrainingError(
                f"Frozen weights changed during training: sha256 {before} before, {after} after.",
                hint="This is a bug in edgeadapt or torch. Please report it.",
            )
        if staging is not None:
            frozen, title = FrozenHashes(before, after), folder.target.name
            _write(staging, work, classifier, outcome, frozen=frozen, title=title)
    return Run.open(folder.target)


def _as_int8(work: _Work, classifier: AdaptedClassifier) -> AbstractContextManager[None]:
    """Simulates the quantization that ``export --quantize`` applies by default on this machine."""
    bits = default_weight_bits(this_platform())
    work.progress.say(f"Training and scores simulate int8 with {bits}-bit weights.")
    pairs = work.recipe.data.pairs
    return int8_simulated(classifier.backbone, pairs=pairs, weight_bits=bits)


def _fit(work: _Work, classifier: AdaptedClassifier, folder: Resumable) -> Outcome:
    training = work.recipe.training
    objective = Classification(
        classifier.model,
        work.tokenizer.encoder,
        train=work.dataset.train,
        validation=work.dataset.validation,
        task=work.recipe.data.task,
        smoothing=training.label_smoothing,
        frozen=FrozenLayers.below(classifier.backbone, classifier.trained()),
        memory=training.memory_mb * 1_000_000,
        dropout=training.backbone_dropout,
        team=work.team,
        compute=work.compute,
    )
    if training.activation_checkpointing:
        classifier.model.gradient_checkpointing_enable({"use_reentrant": False})
    with (
        folder.explained(work.progress),
        _board(work, folder.target.name) as board,
        first_position_only(classifier.backbone),
    ):
        return fit(
            objective,
            classifier.trained(),
            head=classifier.backbone.head,
            config=training,
            device=work.device,
            checkpoints=folder.state(work.recipe),
            team=work.team,
            board=board,
            progress=work.progress,
        )


def _board(work: _Work, name: str) -> AbstractContextManager[TensorBoard | None]:
    folder = work.recipe.training.tensorboard
    if folder is None or not work.team.leads:
        return nullcontext()
    return TensorBoard(Path(folder).expanduser() / name)


def _write(
    folder: Path,
    work: _Work,
    classifier: AdaptedClassifier,
    outcome: Outcome,
    *,
    frozen: FrozenHashes,
    title: str,
) -> None:
    assert outcome.best is not None
    assert outcome.best_score is not None
    encoder, task = work.tokenizer.encoder, work.recipe.data.task
    write_model(folder, classifier, work.tokenizer)
    names, test = work.dataset.label_names, work.dataset.test
    logits = write_examples(folder, classifier, encoder, work.dataset, task=task, title=title)
    write_mistakes(folder / MISTAKES_FILE, logits, test, names, task=task, title=title)
    write_history(folder / "history.jsonl", outcome.steps, outcome.epochs)
    draw_curves(
        folder / "curves.png", outcome.steps, outcome.epochs, best=outcome.best, title=title
    )
    trainable, total = classifier.count_parameters()
    on_gpu = work.device.type == "cuda"
    info = RunInfo(
        recipe=work.recipe,
        labels=names,
        pad_id=encoder.pad_id,
        backbone=work.source.describe(),
        frozen_sha256=frozen,
        trainable_parameters=trainable,
        total_parameters=total,
        data=work.data_report,
        validation=outcome.best_score,
        test=score(logits, test.known_labels(), task=task),
        best_epoch=outcome.best.epoch,
        seconds=outcome.seconds,
        examples_per_second=outcome.examples_per_second,
        machine=TrainingMachine(
            **vars(describe_machine()),
            device=torch.cuda.get_device_name() if on_gpu else "cpu",
            precision=work.compute.precision,
            threads=torch.get_num_threads(),
            processes=work.team.size,
        ),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        edgeadapt=__version__,
        task=task,
        pairs=work.recipe.data.pairs,
    )
    Run.write(folder, info)


def run_stem(recipe: Recipe) -> str:
    """Returns the default name of a run, without the time."""
    data = Path(recipe.data.dataset).stem or "run"
    return f"{data}-{recipe.adapter.method}"
