"""The training loop: it learns, keeps the best epoch, is reproducible, and stops."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
import torch

from edgeadapt.data import Examples
from edgeadapt.errors import TrainingError, UsageError
from edgeadapt.metrics import probabilities, score
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.inference import torch_logits
from edgeadapt.models.seeds import seeded
from edgeadapt.models.sources import ModelSource
from edgeadapt.progress import SILENT, Bar, Progress
from edgeadapt.recipe import AdapterConfig, AdapterKind, Device, Precision, Task, TrainingConfig
from edgeadapt.text import TextEncoder
from edgeadapt.training import objectives
from edgeadapt.training.loop import choose_device, fit
from edgeadapt.training.objectives import Classification, Compute
from edgeadapt.training.optimizer import rate_at
from edgeadapt.training.outcome import Outcome
from edgeadapt.training.tensorboard import TensorBoard
from tests.conftest import BAD, GOOD

pytestmark = pytest.mark.transformers5

LABELS = ("negative", "positive")
CPU = torch.device("cpu")


def examples(start: int, stop: int) -> Examples:
    """Good and bad words in turn, each text longer than those of the same word before it."""
    texts = tuple(
        " ".join([(GOOD if number % 2 else BAD)[number // 2 % 5]] * (1 + number // 10))
        for number in range(start, stop)
    )
    return Examples(texts, np.arange(start, stop) % 2)


def inverted(given: Examples) -> Examples:
    return Examples(given.texts, 1 - given.known_labels())


TRAIN, VALIDATION = examples(0, 64), examples(64, 96)


def build(
    source: ModelSource, method: str = "parallel", *, seed: int = 0, dropout: float = 0.0
) -> AdaptedClassifier:
    config = AdapterConfig(method=method, dimension=4, dropout=dropout)
    with seeded(seed):
        return AdaptedClassifier.build(source, LABELS, config)


def train(
    classifier: AdaptedClassifier,
    encoder: TextEncoder,
    *,
    train: Examples = TRAIN,
    validation: Examples = VALIDATION,
    task: Task = Task.SINGLE_LABEL,
    progress: Progress = SILENT,
    board: TensorBoard | None = None,
    compute: Compute = Compute.USUAL,
    **values: float,
) -> Outcome:
    defaults = {"epochs": 3, "batch_size": 16, "learning_rate": 1e-2}
    config = TrainingConfig(**{**defaults, **values})  # type: ignore[arg-type]
    with seeded(config.seed):
        objective = Classification(
            classifier.model,
            encoder,
            train=train,
            validation=validation,
            task=task,
            smoothing=config.label_smoothing,
            compute=compute,
        )
        return fit(
            objective,
            classifier.trained(),
            config=config,
            device=CPU,
            board=board,
            progress=progress,
        )


def weights(classifier: AdaptedClassifier) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in classifier.trained().items()}


def cross_entropy(
    classifier: AdaptedClassifier, encoder: TextEncoder, given: Examples
) -> tuple[float, float]:
    """Mean loss and accuracy, computed here."""
    logits = torch_logits(classifier.model, encoder, given.texts, batch_size=8)
    labels = given.known_labels()
    chosen = probabilities(logits, Task.SINGLE_LABEL)[np.arange(len(labels)), labels]
    return float(-np.log(chosen).mean()), score(logits, labels, task=Task.SINGLE_LABEL).accuracy


@pytest.mark.parametrize("method", [*AdapterKind, "parallel+bitfit"])
def test_the_loss_falls(source: ModelSource, encoder: TextEncoder, method: str) -> None:
    classifier = build(source, method)
    before, _ = cross_entropy(classifier, encoder, TRAIN)

    outcome = train(classifier, encoder, epochs=5)

    losses = [report.train_loss for report in outcome.epochs]
    after, _ = cross_entropy(classifier, encoder, TRAIN)
    assert losses[-1] < losses[0]
    assert after < before - 0.02


def test_the_tiny_data_is_learned(source: ModelSource, encoder: TextEncoder) -> None:
    outcome = train(build(source, "full"), encoder)

    assert outcome.best is not None
    assert outcome.best.accuracy > 0.9


@pytest.mark.parametrize(
    "method", ["parallel", "houlsby", "compacter", "head", "parallel+lora+ia3+bitfit"]
)
def test_frozen_weights_stay_and_trained_ones_move(
    source: ModelSource, encoder: TextEncoder, method: str
) -> None:
    classifier = build(source, method)
    frozen, before = classifier.frozen_sha256(), weights(classifier)

    train(classifier, encoder, validation=TRAIN)

    assert classifier.frozen_sha256() == frozen
    still = [
        name for name, after in weights(classifier).items() if torch.equal(after, before[name])
    ]
    assert still == []


def test_the_best_epochs_weights_are_kept(source: ModelSource, encoder: TextEncoder) -> None:
    classifier = build(source)
    wrong = inverted(VALIDATION)

    outcome = train(classifier, encoder, validation=wrong, epochs=6, learning_rate=0.03)

    loss, accuracy = cross_entropy(classifier, encoder, wrong)
    assert outcome.best is not None
    assert outcome.best.epoch < 6
    assert outcome.epochs[-1].validation_loss > outcome.best.validation_loss + 0.1
    assert loss == pytest.approx(outcome.best.validation_loss, abs=1e-5)
    assert accuracy == outcome.best.accuracy


def test_the_best_epoch_is_the_most_accurate_and_among_equals_the_surest(
    source: ModelSource, encoder: TextEncoder
) -> None:
    outcome = train(build(source), encoder, epochs=6)

    def rank(epoch: int) -> tuple[float, float]:
        report = outcome.epochs[epoch - 1]
        return report.accuracy, -report.validation_loss

    assert outcome.best is outcome.epochs[max(range(1, 7), key=rank) - 1]
    assert len({report.accuracy for report in outcome.epochs}) > 1


def test_weights_of_the_last_epoch_are_kept_where_it_is_the_best(
    source: ModelSource, encoder: TextEncoder
) -> None:
    classifier = build(source, "full")

    outcome = train(classifier, encoder, epochs=4)

    loss, _ = cross_entropy(classifier, encoder, VALIDATION)
    assert outcome.best is outcome.epochs[-1]
    assert loss == pytest.approx(outcome.epochs[-1].validation_loss, abs=1e-5)


def test_the_same_seed_gives_the_same_weights_bit_for_bit(
    source: ModelSource, encoder: TextEncoder
) -> None:
    trained = []

    for _ in range(2):
        classifier = build(source, seed=3, dropout=0.1)
        train(classifier, encoder, seed=3)
        trained.append(weights(classifier))

    one, same = trained
    assert all(torch.equal(one[name], same[name]) for name in one)


def test_another_seed_gives_other_weights(source: ModelSource, encoder: TextEncoder) -> None:
    trained = []

    for seed in (3, 4):
        classifier = build(source, seed=0)
        train(classifier, encoder, seed=seed)
        trained.append(weights(classifier)["classifier.weight"])

    assert not torch.equal(*trained)


def test_training_leaves_numpys_and_torchs_random_state_alone(
    source: ModelSource, encoder: TextEncoder
) -> None:
    classifier = build(source)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index,union-attr]  # noqa: NPY002

    train(classifier, encoder, epochs=1)

    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # type: ignore[index]  # noqa: NPY002


def test_the_history_has_every_epoch_and_every_tenth_step(
    source: ModelSource, encoder: TextEncoder
) -> None:
    outcome = train(build(source), encoder, epochs=3)

    assert [(report.epoch, report.step) for report in outcome.epochs] == [(1, 4), (2, 8), (3, 12)]
    assert [report.step for report in outcome.steps] == [4, 8, 10, 12]


def test_logged_losses_are_means_since_the_last_logged_step(
    source: ModelSource, encoder: TextEncoder
) -> None:
    outcome = train(build(source), encoder, epochs=3)

    losses = {report.step: report.loss for report in outcome.steps}
    epochs = [report.train_loss for report in outcome.epochs]
    assert [losses[4], losses[8]] == pytest.approx(epochs[:2])
    assert (losses[10] + losses[12]) / 2 == pytest.approx(epochs[2])


@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_the_epochs_loss_counts_every_example_once_and_has_no_smoothing(
    source: ModelSource, encoder: TextEncoder, smoothing: float
) -> None:
    classifier = build(source)
    expected, _ = cross_entropy(classifier, encoder, TRAIN.first(37))

    # Too small a rate to change anything within the epoch.
    outcome = train(
        classifier,
        encoder,
        train=TRAIN.first(37),
        epochs=1,
        learning_rate=1e-12,
        label_smoothing=smoothing,
    )

    assert outcome.epochs[0].train_loss == pytest.approx(expected, abs=1e-5)


def test_a_logged_step_tells_the_rate_it_was_taken_with(
    source: ModelSource, encoder: TextEncoder
) -> None:
    outcome = train(build(source), encoder, epochs=3, learning_rate=0.01, warmup=0.25)

    expected = [
        0.01 * rate_at(report.step - 1, warmup_steps=3, total_steps=12) for report in outcome.steps
    ]
    assert [report.learning_rate for report in outcome.steps] == pytest.approx(expected)


def test_scores_of_an_epoch_are_those_of_validation_text(
    source: ModelSource, encoder: TextEncoder
) -> None:
    classifier = build(source)

    (report,) = train(classifier, encoder, epochs=1).epochs

    loss, accuracy = cross_entropy(classifier, encoder, VALIDATION)
    logits = torch_logits(classifier.model, encoder, VALIDATION.texts, batch_size=8)
    assert report.validation_loss == pytest.approx(loss, abs=1e-6)
    assert report.accuracy == accuracy
    assert (
        report.macro_f1 == score(logits, VALIDATION.known_labels(), task=Task.SINGLE_LABEL).macro_f1
    )


def test_the_time_and_the_speed_fit_together(source: ModelSource, encoder: TextEncoder) -> None:
    outcome = train(build(source), encoder, epochs=2)

    seconds = sum(report.seconds for report in outcome.epochs)
    assert 0 < seconds <= outcome.seconds
    assert outcome.examples_per_second == pytest.approx(2 * len(TRAIN) / seconds)


def test_label_smoothing_keeps_the_model_from_being_sure(
    source: ModelSource, encoder: TextEncoder
) -> None:
    losses = [
        train(build(source, "full"), encoder, epochs=6, label_smoothing=value).epochs[-1].train_loss
        for value in (0.0, 0.6)
    ]

    # With a share of 0.6 spread over two labels the best answer is (0.7, 0.3).
    assert losses[0] < 0.8 * -math.log(0.7) < -math.log(0.7) == pytest.approx(losses[1], rel=0.1)


@pytest.mark.parametrize("size", [1, 13, 64, 1000])
def test_any_batch_size_trains_on_every_example(
    source: ModelSource, encoder: TextEncoder, size: int
) -> None:
    outcome = train(build(source), encoder, epochs=1, batch_size=size)

    assert outcome.epochs[0].step == -(-len(TRAIN) // size)


def test_progress_reaches_its_total(source: ModelSource, encoder: TextEncoder) -> None:
    class Recorder:
        total = done = 0
        notes: list[str] = []  # noqa: RUF012

        def say(self, message: str) -> None: ...

        def warn(self, message: str) -> None: ...

        @contextmanager
        def bar(self, title: str, total: int) -> Iterator["Recorder"]:
            self.total += total
            yield self

        def advance(self, amount: int = 1, *, note: str = "") -> None:
            self.done += amount
            self.notes.append(note)

    recorder = Recorder()

    outcome = train(build(source), encoder, epochs=2, progress=recorder)

    assert recorder.done == recorder.total == 8
    assert f"validation accuracy {outcome.epochs[-1].accuracy:.1%}" in recorder.notes[-1]


def test_a_loss_that_is_not_finite_stops_at_once(source: ModelSource, encoder: TextEncoder) -> None:
    classifier = build(source)
    classifier.trained()["classifier.bias"].data.fill_(torch.nan)

    with pytest.raises(TrainingError, match="The loss is nan at step 1 ") as caught:
        train(classifier, encoder, learning_rate=0.25, warmup=0.0)

    assert "learning rate 0.25" in str(caught.value)
    assert "--learning-rate" in caught.value.hint


def test_a_rate_that_is_far_too_large_is_an_error(
    source: ModelSource, encoder: TextEncoder
) -> None:
    with pytest.raises(TrainingError, match="expected a finite number"):
        train(build(source), encoder, learning_rate=1e30)


def test_a_loss_that_is_lost_in_the_last_step_is_an_error(
    source: ModelSource, encoder: TextEncoder
) -> None:
    with pytest.raises(TrainingError, match="finite"):
        train(build(source), encoder, epochs=1, batch_size=64, learning_rate=1e30)


class Said:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)

    def warn(self, message: str) -> None: ...

    def bar(self, title: str, total: int) -> AbstractContextManager[Bar]:
        return SILENT.bar(title, total)


def test_training_stops_after_epochs_without_a_better_one(
    source: ModelSource, encoder: TextEncoder
) -> None:
    wrong, said = inverted(VALIDATION), Said()

    outcome = train(
        build(source),
        encoder,
        validation=wrong,
        epochs=12,
        learning_rate=0.03,
        patience=2,
        progress=said,
    )

    assert outcome.best is not None
    assert len(outcome.epochs) == outcome.best.epoch + 2 < 12
    epochs = len(outcome.epochs)
    assert said.lines == [f"Stopped early after epoch {epochs} of 12: no improvement in 2 epochs."]


def test_a_loss_that_is_not_finite_is_told_with_its_texts(
    source: ModelSource, encoder: TextEncoder
) -> None:
    classifier = build(source)
    classifier.trained()["classifier.bias"].data.fill_(torch.nan)

    with pytest.raises(TrainingError, match=r"training examples \d+, \d+, .* and 11 more"):
        train(classifier, encoder)


def test_a_batch_in_parts_gives_the_same_weights(source: ModelSource, encoder: TextEncoder) -> None:
    trained = []
    for tokens in (10_000, 20):
        classifier = build(source)
        outcome = train(classifier, encoder, compute=Compute(most_tokens=tokens))
        trained.append((weights(classifier), [report.train_loss for report in outcome.epochs]))

    (whole, losses), (parts, found) = trained
    assert found == pytest.approx(losses, abs=1e-6)
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=0, atol=1e-5)


def test_in_bfloat16_it_is_learned_too_and_weights_stay_float32(
    source: ModelSource, encoder: TextEncoder
) -> None:
    classifier = build(source, "full")

    outcome = train(classifier, encoder, compute=Compute(Precision.BF16))

    assert outcome.best is not None
    assert outcome.best.accuracy > 0.9
    assert {p.dtype for p in classifier.trained().values()} == {torch.float32}
    exact = build(source, "full")
    train(exact, encoder)
    assert not torch.equal(
        weights(exact)["classifier.weight"], weights(classifier)["classifier.weight"]
    )


@pytest.mark.parametrize(
    ("device", "flags", "chosen"),
    [
        ("cuda", {"avx2"}, Precision.BF16),
        ("cpu", {"avx512f", "avx512_bf16"}, Precision.BF16),
        ("cpu", {"amx_bf16"}, Precision.BF16),
        ("cpu", {"avx512f"}, Precision.FP32),
        ("cpu", None, Precision.FP32),
    ],
)
def test_bfloat16_is_chosen_where_the_device_is_made_for_it(
    device: str, flags: set[str] | None, chosen: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objectives, "cpu_flags", lambda: flags)

    assert Compute.on(torch.device(device), TrainingConfig()).precision is chosen
    for asked in (Precision.FP32, Precision.BF16):
        found = Compute.on(torch.device(device), TrainingConfig(precision=asked, compile=True))
        assert (found.precision, found.compiled) == (asked, True)


def test_as_many_tokens_at_once_as_asked_for_or_as_suit_the_device() -> None:
    gpu = torch.device("cuda")
    assert (
        Compute.on(CPU, TrainingConfig()).most_tokens
        < Compute.on(gpu, TrainingConfig()).most_tokens
    )
    for device in (CPU, gpu):
        assert Compute.on(device, TrainingConfig(micro_batch_tokens=77)).most_tokens == 77


@pytest.mark.slow
def test_compiled_it_gives_the_same_weights(source: ModelSource, encoder: TextEncoder) -> None:
    trained = []
    for compiled in (False, True):
        classifier = build(source)
        train(classifier, encoder, epochs=1, compute=Compute(compiled=compiled))
        trained.append(weights(classifier))

    for name, tensor in trained[0].items():
        torch.testing.assert_close(trained[1][name], tensor, rtol=0, atol=1e-5)


def test_activation_checkpointing_changes_nothing_but_memory(
    source: ModelSource, encoder: TextEncoder
) -> None:
    trained = []
    for spared in (False, True):
        classifier = build(source, "parallel+bitfit")
        if spared:
            classifier.model.gradient_checkpointing_enable({"use_reentrant": False})
        train(classifier, encoder)
        trained.append(weights(classifier))

    for name, tensor in trained[0].items():
        torch.testing.assert_close(trained[1][name], tensor, rtol=0, atol=1e-6)


def test_cuda_without_a_gpu_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(UsageError, match="No CUDA device") as caught:
        choose_device(Device.CUDA)

    assert "--device cpu" in caught.value.hint


@pytest.mark.parametrize(
    ("wanted", "available", "expected"),
    [
        (Device.AUTO, False, "cpu"),
        (Device.AUTO, True, "cuda"),
        (Device.CUDA, True, "cuda"),
        (Device.CPU, False, "cpu"),
        (Device.CPU, True, "cpu"),
    ],
)
def test_the_device_is_the_one_asked_for_or_the_best_there_is(
    monkeypatch: pytest.MonkeyPatch, wanted: Device, available: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)

    assert choose_device(wanted) == torch.device(expected)


def test_a_seeded_block_draws_the_same_values_each_time() -> None:
    drawn = []

    for seed in (5, 5, 6):
        with seeded(seed):
            drawn.append(torch.rand(4))

    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_torchs_random_state_and_threads_come_back() -> None:
    before = torch.get_rng_state(), torch.get_num_threads()
    inside = before[1] + 1

    with seeded(5, threads=inside):
        torch.rand(4)
        assert torch.get_num_threads() == inside

    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]


def test_torchs_random_state_and_threads_come_back_after_an_error() -> None:
    before = torch.get_rng_state(), torch.get_num_threads()

    def fail() -> None:
        with seeded(5, threads=before[1] + 1):
            torch.rand(4)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]


def test_threads_stay_where_none_are_asked_for() -> None:
    before = torch.get_num_threads()

    with seeded(5):
        inside = torch.get_num_threads()

    assert inside == before


# Multi-label


def words(start: int, stop: int) -> Examples:
    """Texts with a good word, a bad word, both or neither, and as many labels."""
    kinds = [(number % 2, number // 2 % 2) for number in range(start, stop)]
    texts = tuple(
        " ".join([*bad * [BAD[number % 5]], *good * [GOOD[number % 5]], "film"])
        for number, (bad, good) in enumerate(kinds)
    )
    return Examples(texts, np.asarray(kinds))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_minimized_is_the_binary_cross_entropy_with_smoothed_targets(
    source: ModelSource, encoder: TextEncoder, smoothing: float
) -> None:
    classifier, given = build(source), words(0, 16)
    logits = torch_logits(classifier.model, encoder, given.texts, batch_size=16)
    likely = 1 / (1 + np.exp(-logits.astype(np.float64)))

    def expected(targets: np.ndarray) -> float:
        return float(-(targets * np.log(likely) + (1 - targets) * np.log(1 - likely)).mean())

    objective = Classification(
        classifier.model,
        encoder,
        train=given,
        validation=given,
        task=Task.MULTI_LABEL,
        smoothing=smoothing,
    )
    objective.begin_training()
    loss = objective.loss(np.arange(len(given)))

    labels = given.known_labels()
    smoothed = labels * (1 - smoothing) + smoothing / 2
    assert loss.minimized.item() == pytest.approx(expected(smoothed), abs=1e-5)
    assert loss.shown.item() == pytest.approx(expected(labels), abs=1e-5)


def test_label_sets_are_learned(source: ModelSource, encoder: TextEncoder) -> None:
    outcome = train(
        build(source, "full"),
        encoder,
        train=words(0, 64),
        validation=words(64, 96),
        task=Task.MULTI_LABEL,
        epochs=20,
    )

    assert outcome.best is not None
    assert outcome.best.accuracy > 0.9
