"""``edgeadapt train``: a recipe becomes a run."""

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
from edgeadapt.quantize.per_platform import candidates
from edgeadapt.recipe import Recipe, Scheme
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
        recipe: What to train on what, and how.
        start: The adapter that ``recipe.adapter.start`` names, where it has been read already.
        output: Folder of the run; a free name under ``artifacts/runs`` where none is given.
        force: Replace an existing run.
        progress: Where to report.

    Raises:
        EdgeAdaptError: One of its kinds. An existing run is as it was. Of a training that had
            begun there is a checkpoint in the folder, which ``resume`` goes on from.
        KeyboardInterrupt, SystemExit: SIGINT or SIGTERM came; likewise.
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
    """Goes on with a training that was stopped.

    The weights are bit for bit those of a training that was never stopped, on the same machine
    with as many threads.

    Args:
        target: The folder that the run is to have.
        progress: Where to report.

    Raises:
        LayoutError: There is no unfinished training, or it is damaged.
        IntegrityError: The data or the backbone is another one now.
        EdgeAdaptError: Whatever ``train`` raises.
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
    """Returns the run of a recipe at ``target``: does what is left to do for it.

    Where it is finished, that is nothing; where it was stopped, it is gone on with.

    Args:
        recipe: As a run or an unfinished training has it, all its values filled in.
        target: Folder of the run.
        force: Begin anew, whatever is there.
        progress: Where to report.

    Raises:
        EdgeAdaptError: Whatever ``train`` raises; of another recipe there is something at
            ``target``.
    """
    # Of several processes the leading one looks: it may begin before another one does.
    known, finished = Team.launched().agreed(
        (not force and recipe_at(target) == recipe, (target / "run.json").is_file())
    )
    if known and finished:
        return Run.open(target)
    if known:
        return resume(target, progress=progress)
    return train(recipe, output=target, force=force, progress=progress)


def recipe_at(target: Path) -> Recipe | None:
    """Returns the recipe of the run at ``target``, finished or stopped; ``None`` without one."""
    if (target / "run.json").is_file():
        return Run.open(target).info.recipe
    begun = Checkpoints(target / UNFINISHED, every=0).has_begun()
    return Resumable(_COMMAND, target).begun().recipe if begun else None


@dataclass(frozen=True)
class _Work:
    """All that training needs, found and read."""

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
    """Where to say what is the same for every fold of a cross-validation."""

    @classmethod
    def prepare(cls, recipe: Recipe, team: Team, progress: Progress) -> Self:
        progress = progress if team.leads else SILENT
        device = choose_device(recipe.training.device, team)
        is_fold = recipe.data.fold is not None
        # What is odd about model and data is said once, not for every fold of it.
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
        """What has to be the same when training is resumed; all weights are read for it."""
        hashes = {
            "data": self.data_report.fingerprint or "",
            "backbone": self.source.sha256(),
            "tokenizer": self.tokenizer.encoder.sha256(),
        }
        return Begun(_COMMAND, self.recipe, hashes)

    def build(self, start: ForeignAdapter | None, told: Progress) -> AdaptedClassifier:
        """Puts adapters and head on the backbone, with the weights that training starts from.

        Args:
            start: The adapter to start from, where there is one.
            told: Where to say what becomes of a head that exists.

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
    """Trains from the latest checkpoint or, ``anew``, from the start, and writes the run."""
    with folder.written(work.begun, anew=anew) as staging, ExitStack() as stack:
        # The weights of a state that is resumed take the place of all that is built here.
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
    """Simulates what ``export --quantize`` makes by default of a model on this machine."""
    usual, *_ = candidates([Scheme.DYNAMIC_INT8], this_platform())
    bits = 7 if usual.reduce_range else 8
    work.progress.say(f"Everything is computed, and scored, as int8 with {bits}-bit weights will.")
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
    """Returns what a run is called, before its time, where the user gives no name."""
    data = Path(recipe.data.dataset).stem or "run"
    return f"{data}-{recipe.adapter.method}"
