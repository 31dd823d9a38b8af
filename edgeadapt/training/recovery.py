"""Recover the accuracy of a pruned model: train it on, distilled from the original model.

The pretrained weights stay frozen, as in every training. What is trained, low-rank updates of all
dense layers, biases, LayerNorms and the head, folds into them, so that the model keeps its shape
and its cost.
"""

import copy
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from transformers import PreTrainedModel

from edgeadapt.adapters import BackboneModel
from edgeadapt.backbones import backbone_spec
from edgeadapt.data import Examples
from edgeadapt.errors import ModelError
from edgeadapt.metrics import Logits
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.first_position import first_position_only
from edgeadapt.models.int8 import int8_simulated
from edgeadapt.models.seeds import seeded
from edgeadapt.models.text_model import TextModel
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import AdapterConfig, Dropout, Task, TrainingConfig
from edgeadapt.training.distillation import Distillation, Teacher
from edgeadapt.training.frozen import FrozenLayers
from edgeadapt.training.loop import choose_device, fit
from edgeadapt.training.objectives import Compute

__all__ = ["recover"]

ADAPTERS = AdapterConfig(method="lora+bitfit", targets="query+key+value+dense+ffn", rank=8)
"""What is trained: everything that folds without widening a layer."""
RATE = 1e-3
"""Peak learning rate: a third of a new adapter's, because the model is trained already."""
TEMPERATURE = 2.0
TEACHER_WEIGHT = 0.9


def recover(
    model: TextModel,
    *,
    teacher: Logits,
    train: Examples,
    validation: Examples,
    task: Task,
    training: TrainingConfig,
    epochs: int,
    weight_bits: int | None = None,
    progress: Progress = SILENT,
) -> TextModel:
    """Returns the model after more training: its best epoch, by accuracy on validation text.

    It is not always nearer to the teacher than the given model, which does not change. The same
    seed gives the same weights.

    Args:
        model: A merged model, without bottlenecks beside its layers. Its layers may have different
            widths, and sublayers may have been dropped.
        teacher: The original model's logits for the training texts, shape ``(texts, labels)``.
        train: Labelled training examples.
        validation: Labelled validation examples.
        task: How many labels a text has.
        training: Settings of the optimization: batch size, weight decay, warmup, clipping, seed,
            device, precision and threads; the others are chosen here.
        epochs: Passes over the training examples.
        weight_bits: Bits of the weights in int8, 8 or 7, which is then simulated; ``None`` to train
            in floating point.
        progress: Receives messages and the progress bar.

    Raises:
        ModelError: The model has bottlenecks beside its layers.
        TrainingError: The loss is not finite, or GPU memory ran out.
        UsageError: CUDA is requested and not available.
        KeyboardInterrupt, SystemExit: SIGINT or SIGTERM was received.
    """
    _check_merged(model)
    config = _config_of(training, epochs)
    with seeded(config.seed, threads=config.threads):
        classifier = _classifier_of(model.merged.model)
        device = choose_device(config.device)
        objective = Distillation(
            classifier.model.to(device),
            model.encoder,
            train=train,
            validation=validation,
            task=task,
            teacher=Teacher(teacher, TEMPERATURE, TEACHER_WEIGHT),
            # Nothing to remember: the embeddings' LayerNorm is trained.
            frozen=FrozenLayers(classifier.backbone, 0),
            dropout=config.backbone_dropout,
            compute=Compute.on(device, config),
        )
        with _as_int8(classifier.backbone, model.encoder.pairs, weight_bits):
            _fit(objective, classifier, config, progress)
    stock = _folded(classifier)
    return replace(model, merged=model.merged.resized(stock))


def _check_merged(model: TextModel) -> None:
    if model.merged.kept:
        raise ModelError(
            f"Cannot recover accuracy: expected a model whose adapters are all merged, found "
            f"{model.merged.leftover.bottlenecks} bottlenecks beside its layers.",
            hint="Train with --method parallel, lora, ia3 or bitfit, whose adapters merge.",
        )


def _config_of(training: TrainingConfig, epochs: int) -> TrainingConfig:
    """Returns the settings of the recovery."""
    return replace(
        training,
        epochs=epochs,
        learning_rate=RATE,
        head_rate=1.0,
        patience=None,
        label_smoothing=0.0,  # the teacher's probabilities are smooth
        backbone_dropout=Dropout.NONE,
        compile=False,  # takes longer than the training
        activation_checkpointing=False,
    )


def _classifier_of(model: PreTrainedModel) -> AdaptedClassifier:
    """Attaches adapters to a copy of a model."""
    spec = backbone_spec(model.config.model_type)
    return AdaptedClassifier.around(copy.deepcopy(model), spec, ADAPTERS)


def _as_int8(
    backbone: BackboneModel, pairs: bool, weight_bits: int | None
) -> AbstractContextManager[None]:
    if weight_bits is None:
        return nullcontext()
    return int8_simulated(backbone, pairs=pairs, weight_bits=weight_bits)


def _fit(
    objective: Distillation,
    classifier: AdaptedClassifier,
    config: TrainingConfig,
    progress: Progress,
) -> None:
    """Trains in place and says what it won."""
    with first_position_only(classifier.backbone):
        before = objective.judge()
        outcome = fit(
            objective,
            classifier.trained(),
            head=classifier.backbone.head,
            config=config,
            device=classifier.model.device,
            progress=progress,
        )
    best = outcome.best
    assert best is not None, "fit validates every epoch"
    progress.say(
        f"Recovery: validation accuracy {before.accuracy:.1%} before, {best.accuracy:.1%} after "
        f"epoch {best.epoch} of {len(outcome.epochs)}."
    )


def _folded(classifier: AdaptedClassifier) -> PreTrainedModel:
    """Folds everything that was trained into the model, in place."""
    model = classifier.model.cpu()
    kept = [part for adapter in classifier.adapters.values() for part in adapter.fold()]
    assert not kept, "these kinds fold completely"
    return model.requires_grad_(True).eval()
