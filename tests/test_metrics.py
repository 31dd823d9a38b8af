"""Scores compared with scikit-learn, and the gates built on them."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
)
from torch.nn import functional as F

from edgeadapt.errors import GateError
from edgeadapt.metrics import (
    Drift,
    Labels,
    Logits,
    Parity,
    Score,
    agreement,
    bootstrap_interval,
    calibration_error,
    confidence,
    decide,
    difference,
    divergence,
    drift,
    label_sets,
    largest_shift,
    macro_f1_interval,
    mean_loss,
    probabilities,
    score,
    wilson_interval,
)
from edgeadapt.recipe import Task
from edgeadapt.typed import from_json

pytestmark = pytest.mark.versions

SINGLE, MULTI = Task.SINGLE_LABEL, Task.MULTI_LABEL


def logits_for(predicted: list[int], width: int = 2) -> Logits:
    """Logits whose largest is at the given labels."""
    return np.eye(width, dtype=np.float32)[predicted]


@st.composite
def scored(draw: st.DrawFn) -> tuple[Logits, Labels]:
    """Logits of 2 to 5 labels, and labels of which some may never occur."""
    width = draw(st.integers(2, 5))
    count = draw(st.integers(1, 30))
    values = st.lists(st.floats(-9, 9, width=32), min_size=width, max_size=width)
    logits = draw(st.lists(values, min_size=count, max_size=count))
    labels = draw(st.lists(st.integers(0, width - 1), min_size=count, max_size=count))
    return np.asarray(logits, dtype=np.float32), np.asarray(labels, dtype=np.int64)


# Scores


@settings(max_examples=50, deadline=None)
@given(scored())
def test_a_score_equals_scikit_learns(case: tuple[Logits, Labels]) -> None:
    logits, labels = case
    predicted, every = logits.argmax(axis=1), range(logits.shape[1])
    options: dict[str, Any] = {"zero_division": 0.0}

    found = score(logits, labels, task=SINGLE)

    assert found.texts == len(labels)
    assert found.accuracy == pytest.approx(accuracy_score(labels, predicted))
    assert found.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro", **options))
    assert found.precision == pytest.approx(
        tuple(precision_score(labels, predicted, labels=every, average=None, **options))
    )
    assert found.recall == pytest.approx(
        tuple(recall_score(labels, predicted, labels=every, average=None, **options))
    )


def test_a_score_worked_out_by_hand() -> None:
    found = score(logits_for([0, 0, 0, 1]), np.asarray([0, 0, 1, 1]), task=SINGLE)

    assert found.accuracy == 0.75
    assert found.precision == pytest.approx((2 / 3, 1))
    assert found.recall == pytest.approx((1, 0.5))
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)


def test_a_label_never_seen_does_not_count_towards_macro_f1() -> None:
    found = score(logits_for([0, 1], width=3), np.asarray([0, 1]), task=SINGLE)

    assert found.macro_f1 == 1.0
    assert found.precision == found.recall == (1.0, 1.0, 0.0)


@pytest.mark.parametrize(("texts", "labels"), [(2, 3), (3, 2), (0, 0), (0, 1)])
def test_logits_and_labels_of_different_or_no_number_are_refused(texts: int, labels: int) -> None:
    with pytest.raises(ValueError, match=f"found {labels}, {texts}"):
        score(np.zeros((texts, 2), dtype=np.float32), np.zeros(labels, dtype=np.int64), task=SINGLE)


def test_a_score_is_plain_values() -> None:
    found = score(logits_for([0, 1]), np.asarray([0, 1]), task=SINGLE)

    assert json.loads(json.dumps(found.to_dict())) == {
        "texts": 2,
        "accuracy": 1.0,
        "macro_f1": 1.0,
        "precision": [1.0, 1.0],
        "recall": [1.0, 1.0],
        "calibration_error": pytest.approx(1 - math.e / (math.e + 1), abs=1e-6),
        "confusion": [[1, 0], [0, 1]],
    }


@settings(max_examples=50, deadline=None)
@given(scored())
def test_confusion_and_a_way_through_json_keep_every_figure(case: tuple[Logits, Labels]) -> None:
    logits, labels = case
    found = score(logits, labels, task=SINGLE)

    expected = confusion_matrix(labels, logits.argmax(axis=1), labels=range(logits.shape[1]))
    assert found.confusion == tuple(map(tuple, expected.tolist()))
    assert from_json(Score, json.loads(json.dumps(found.to_dict())), where="a score") == found


def test_answers_as_sure_as_they_are_right_are_calibrated() -> None:
    logits = np.tile(np.log([[3.0, 1.0]]), (4, 1)).astype(np.float32)  # sure to 75 %

    assert calibration_error(logits, np.asarray([0, 0, 1, 0]), task=SINGLE) < 1e-6
    assert calibration_error(logits, np.asarray([1, 1, 1, 1]), task=SINGLE) == pytest.approx(0.75)
    assert calibration_error(logits, np.asarray([0, 0, 0, 0]), task=SINGLE) == pytest.approx(0.25)


def test_gaps_do_not_cancel_out_between_bins() -> None:
    logits = np.log([[3.0, 1.0], [9.0, 1.0]]).astype(np.float32)  # sure to 75 % and to 90 %

    found = calibration_error(logits, np.asarray([0, 1]), task=SINGLE)

    assert found == pytest.approx((0.25 + 0.9) / 2)


def test_multi_label_every_yes_and_no_is_a_decision() -> None:
    logits = np.log([[3.0, 1 / 3.0]]).astype(np.float32)  # both sure to 75 %

    assert calibration_error(logits, np.asarray([[1, 1]]), task=MULTI) == pytest.approx(0.25)


@settings(max_examples=50, deadline=None)
@given(scored(), st.sampled_from([SINGLE, MULTI]))
def test_the_calibration_error_is_a_share(case: tuple[Logits, Labels], task: Task) -> None:
    logits, labels = case
    known = labels if task is SINGLE else np.eye(logits.shape[1], dtype=np.int64)[labels]

    assert 0 <= calibration_error(logits, known, task=task) <= 1


@pytest.mark.parametrize(
    ("right", "count", "low", "high"), [(81, 263, 0.2553, 0.3662), (0, 20, 0.0, 0.1611)]
)
def test_the_interval_of_a_share_is_wilsons(
    right: int, count: int, low: float, high: float
) -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
    assert wilson_interval(right / count, count) == pytest.approx((low, high), abs=5e-5)


# Probabilities and differences


@settings(max_examples=50, deadline=None)
@given(scored())
def test_probabilities_sum_to_one_and_keep_the_order(case: tuple[Logits, Labels]) -> None:
    logits, _ = case

    found = probabilities(logits, SINGLE)

    assert found.dtype == np.float64
    assert np.allclose(found.sum(axis=1), 1)
    for row, values in zip(found, logits, strict=True):
        assert (np.diff(row[np.argsort(values)]) >= 0).all()


def test_probabilities_worked_out_by_hand() -> None:
    found = probabilities(np.asarray([[0.0, math.log(3)]], dtype=np.float32), SINGLE)

    assert found.tolist() == [pytest.approx([0.25, 0.75])]


def test_large_logits_do_not_overflow() -> None:
    found = probabilities(np.asarray([[30_000.0, 0.0], [-30_000.0, 0.0]], dtype=np.float32), SINGLE)

    assert found.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_agreement_is_the_share_of_equal_answers() -> None:
    assert agreement(logits_for([0, 1, 1, 0]), logits_for([0, 1, 0, 0]), task=SINGLE) == 0.75


def test_the_divergence_is_torchs() -> None:
    drawn = np.random.default_rng(0)
    before, after = (drawn.normal(size=(9, 4)).astype(np.float32) for _ in range(2))
    old, new = (torch.from_numpy(logits).double() for logits in (before, after))

    single = F.kl_div(
        new.log_softmax(1), old.log_softmax(1), log_target=True, reduction="batchmean"
    )
    several = sum(
        F.kl_div(
            torch.stack([new, -new]).sigmoid().log(),
            torch.stack([old, -old]).sigmoid(),
            reduction="none",
        )
    )
    assert divergence(before, after, task=Task.SINGLE_LABEL) == pytest.approx(float(single))
    assert divergence(before, after, task=Task.MULTI_LABEL) == pytest.approx(
        float(several.sum(1).mean())
    )


def test_the_divergence_of_equal_answers_is_none_and_of_no_answers_infinite() -> None:
    logits = np.float32([[4.0, -30.0], [90.0, -90.0]])
    nothing = np.full_like(logits, np.nan)

    for task in (Task.SINGLE_LABEL, Task.MULTI_LABEL):
        assert divergence(logits, logits, task=task) == pytest.approx(0, abs=1e-9)
        assert divergence(logits, nothing, task=task) == np.inf


def test_the_largest_shift_is_absolute() -> None:
    left = np.asarray([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    right = np.asarray([[1.5, 2.0], [3.0, 1.0]], dtype=np.float32)

    assert largest_shift(left, right) == largest_shift(right, left) == 3.0


# Intervals


def differences() -> st.SearchStrategy[NDArray[np.float64]]:
    """What an accuracy drop is the mean of: -1, 0 or 1 per text."""
    values = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=40)
    return values.map(np.asarray)


@settings(max_examples=25, deadline=None)
@given(differences())
def test_the_interval_contains_the_mean(values: NDArray[np.float64]) -> None:
    low, high = bootstrap_interval(values, resamples=300)

    assert low <= values.mean() <= high
    assert values.min() <= low
    assert high <= values.max()


@settings(max_examples=25, deadline=None)
@given(differences())
def test_a_higher_level_gives_no_narrower_interval(values: NDArray[np.float64]) -> None:
    low, high = bootstrap_interval(values, level=0.5, resamples=300)
    lower, higher = bootstrap_interval(values, level=0.99, resamples=300)

    assert lower <= low <= high <= higher


def test_the_interval_is_the_same_every_time() -> None:
    values = np.asarray([0.0, 1.0] * 20 + [1.0] * 7)

    assert bootstrap_interval(values) == bootstrap_interval(values)


def test_another_seed_draws_other_samples() -> None:
    values = np.random.default_rng(0).normal(size=50)

    assert bootstrap_interval(values) != bootstrap_interval(values, seed=1)


def test_the_interval_of_a_share_is_about_as_wide_as_theory_says() -> None:
    values = np.asarray([0.0, 1.0] * 200)

    low, high = bootstrap_interval(values)

    # 1.96 standard errors of a share of one half over 400 texts.
    assert high - 0.5 == pytest.approx(0.049, abs=0.006)
    assert 0.5 - low == pytest.approx(0.049, abs=0.006)


def test_values_that_are_all_the_same_leave_no_doubt() -> None:
    assert bootstrap_interval(np.full(30, 0.25)) == (0.25, 0.25)


# Parity


def parity(candidate: Logits, *, limit: float = 1e-3) -> Parity:
    return Parity.of("onnx", logits_for([0, 1, 0, 1]), candidate, limit=limit, task=SINGLE)


def test_equal_logits_pass() -> None:
    found = parity(logits_for([0, 1, 0, 1]))

    found.check()

    assert (found.max_difference, found.label_agreement, found.texts) == (0.0, 1.0, 4)


def test_a_difference_at_the_limit_passes_and_one_above_it_fails() -> None:
    at, above = logits_for([0, 1, 0, 1]), logits_for([0, 1, 0, 1])
    at[0, 0] += 0.25
    above[0, 0] += 0.2500002

    parity(at, limit=0.25).check()
    with pytest.raises(GateError):
        parity(above, limit=0.25).check()


def test_a_failed_parity_gate_gives_its_figures() -> None:
    candidate = logits_for([0, 1, 0, 0])

    with pytest.raises(GateError) as caught:
        parity(candidate, limit=0.5).check()

    for words in ("onnx: ", "by up to 1 over 4 texts", "at most 0.5", "75.00%"):
        assert words in str(caught.value)
    assert "No bundle was written" in caught.value.hint


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_logit_that_is_not_finite_fails_parity(value: float) -> None:
    candidate = logits_for([0, 1, 0, 1])
    candidate[2, 1] = value

    with pytest.raises(GateError, match="onnx"):
        parity(candidate, limit=1e9).check()


def test_nan_on_both_sides_fails_parity() -> None:
    nan = np.full((2, 2), np.nan, dtype=np.float32)

    with pytest.raises(GateError):
        Parity.of("merge", nan, nan, limit=1e9, task=SINGLE).check()


def test_a_parity_report_is_plain_values() -> None:
    report = parity(logits_for([0, 1, 0, 0]), limit=0.5).to_dict()

    assert json.loads(json.dumps(report)) == {
        "gate": "onnx",
        "max_difference": 1.0,
        "limit": 0.5,
        "texts": 4,
        "label_agreement": 0.75,
    }


# Drift


def test_where_nothing_has_changed_some_texts_are_needed_all_the_same() -> None:
    assert drop_of(0, of=10).texts_for(0.01) == 300


def drop_of(wrong: int, *, of: int, wrong_before: int = 0) -> Drift:
    """The drift of a model that gets ``wrong`` more of ``of`` texts wrong than before."""
    before = [1] * wrong_before + [0] * (of - wrong_before)
    after = [1] * (wrong_before + wrong) + [0] * (of - wrong_before - wrong)
    return drift(logits_for(before), logits_for(after), np.zeros(of, dtype=np.int64), task=SINGLE)


def test_a_drift_worked_out_by_hand() -> None:
    labels = np.asarray([0, 0, 1, 1])
    after = 3 * logits_for([0, 1, 0, 0])

    found = drift(logits_for([0, 0, 1, 0]), after, labels, task=SINGLE)

    assert (found.texts, found.accuracy_before, found.accuracy_after) == (4, 0.75, 0.25)
    assert (found.accuracy_drop, found.label_agreement, found.largest_shift) == (0.5, 0.5, 3.0)


def test_no_change_is_no_drift() -> None:
    logits = logits_for([0, 1, 1, 0])

    found = drift(logits, logits, np.asarray([0, 1, 0, 0]), task=SINGLE)

    assert (found.accuracy_drop, found.drop_interval) == (0.0, (0.0, 0.0))
    assert (found.label_agreement, found.largest_shift) == (1.0, 0.0)


def test_a_change_that_helps_is_a_negative_drop() -> None:
    found = drift(logits_for([1, 0]), logits_for([0, 0]), np.asarray([0, 0]), task=SINGLE)

    assert found.accuracy_drop == -0.5


def test_the_drop_interval_is_paired() -> None:
    # Half of the answers are wrong before and after: only the change is in doubt.
    found = drop_of(0, of=40, wrong_before=20)

    assert found.drop_interval == (0.0, 0.0)


def test_the_drop_interval_contains_the_drop() -> None:
    found = drop_of(6, of=60, wrong_before=10)

    low, high = found.drop_interval
    assert 0 < low < found.accuracy_drop < high < 1


def test_with_the_texts_that_would_decide_the_interval_is_as_narrow_as_asked() -> None:
    found = drop_of(60, of=600, wrong_before=100)
    more = found.texts_for(0.01)

    again = drop_of(more // 10, of=more, wrong_before=more // 6)

    low, high = again.drop_interval
    assert (high - low) / 2 == pytest.approx(0.01, rel=0.1)


def test_a_drift_report_is_plain_values() -> None:
    report = json.loads(json.dumps(drop_of(1, of=2).to_dict()))

    assert report["accuracy_drop"] == 0.5
    assert set(report) == {
        "texts",
        "accuracy_before",
        "accuracy_after",
        "accuracy_drop",
        "drop_interval",
        "label_agreement",
        "largest_shift",
        "rms_shift",
    }


# Multi-label


@st.composite
def scored_sets(draw: st.DrawFn) -> tuple[Logits, Labels]:
    """Logits of 2 to 5 labels and label sets; labels may never occur and sets may be empty."""
    width = draw(st.integers(2, 5))
    count = draw(st.integers(1, 30))
    values = st.lists(st.floats(-9, 9, width=32), min_size=width, max_size=width)
    known = st.lists(st.integers(0, 1), min_size=width, max_size=width)
    logits = draw(st.lists(values, min_size=count, max_size=count))
    labels = draw(st.lists(known, min_size=count, max_size=count))
    return np.asarray(logits, dtype=np.float32), np.asarray(labels, dtype=np.int64)


@settings(max_examples=100, deadline=None)
@given(scored_sets())
def test_a_multi_label_score_equals_scikit_learns(case: tuple[Logits, Labels]) -> None:
    logits, labels = case
    predicted = (logits > 0).astype(int)
    options: dict[str, Any] = {"average": None, "zero_division": 0.0}

    found = score(logits, labels, task=MULTI)

    assert found.texts == len(labels)
    assert found.accuracy == pytest.approx(accuracy_score(labels, predicted))
    assert found.precision == pytest.approx(tuple(precision_score(labels, predicted, **options)))
    assert found.recall == pytest.approx(tuple(recall_score(labels, predicted, **options)))
    expected = f1_score(labels, predicted, average="macro", zero_division=np.nan)
    assert found.macro_f1 == pytest.approx(0.0 if np.isnan(expected) else expected)


def test_a_multi_label_score_worked_out_by_hand() -> None:
    logits = np.asarray([[2, 1, -1], [-1, -2, -3], [3, -1, -1]], dtype=np.float32)

    found = score(logits, np.asarray([[1, 1, 0], [0, 0, 0], [0, 1, 0]]), task=MULTI)

    assert found.accuracy == pytest.approx(2 / 3)
    assert found.precision == (0.5, 1.0, 0.0)
    assert found.recall == (1.0, 0.5, 0.0)
    assert found.macro_f1 == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_without_any_label_macro_f1_is_a_number() -> None:
    found = score(-np.ones((2, 3), dtype=np.float32), np.zeros((2, 3), dtype=np.int64), task=MULTI)

    assert (found.accuracy, found.macro_f1) == (1.0, 0.0)


@settings(max_examples=50, deadline=None)
@given(scored_sets())
def test_a_label_is_given_where_its_probability_is_above_one_half(
    case: tuple[Logits, Labels],
) -> None:
    logits, _ = case
    clear = np.abs(logits) > 1e-6

    given_labels, likely = decide(logits, MULTI), probabilities(logits, MULTI)

    assert np.array_equal(given_labels[clear], likely[clear] > 0.5)
    np.testing.assert_allclose(likely, torch.from_numpy(logits).double().sigmoid().numpy())


@settings(max_examples=50, deadline=None)
@given(scored())
def test_one_label_a_text_is_given_in_the_form_of_a_set(case: tuple[Logits, Labels]) -> None:
    logits, labels = case

    found = decide(logits, SINGLE)

    assert found.sum(axis=1).tolist() == [1] * len(logits)
    assert found.argmax(axis=1).tolist() == logits.argmax(axis=1).tolist()
    assert label_sets(labels, logits.shape[1]).argmax(axis=1).tolist() == labels.tolist()


def test_a_logit_of_zero_gives_no_label() -> None:
    assert not decide(np.zeros((1, 2), dtype=np.float32), MULTI).any()


def test_large_logits_do_not_overflow_the_sigmoid() -> None:
    found = probabilities(np.asarray([[30_000.0, -30_000.0]], dtype=np.float32), MULTI)

    assert found.tolist() == [[1.0, 0.0]]


def test_label_sets_agree_where_all_labels_do() -> None:
    left = np.asarray([[1, 1], [1, -1], [-1, -1]], dtype=np.float32)
    right = np.asarray([[1, 1], [1, 1], [-2, -5]], dtype=np.float32)

    assert agreement(left, right, task=MULTI) == pytest.approx(2 / 3)
    assert agreement(left, right, task=SINGLE) == 1.0


def test_confidence_is_that_of_the_label_or_of_the_least_certain_one() -> None:
    logits = np.asarray([[math.log(3), -math.log(9)]], dtype=np.float32)

    assert confidence(logits, MULTI) == pytest.approx([0.75])
    assert confidence(logits, SINGLE) == pytest.approx([27 / 28])


@settings(max_examples=50, deadline=None)
@given(scored(), scored_sets())
def test_the_mean_loss_is_torchs(
    single: tuple[Logits, Labels], sets: tuple[Logits, Labels]
) -> None:
    one = F.cross_entropy(*map(torch.from_numpy, single))
    logits, labels = map(torch.from_numpy, sets)
    many = F.binary_cross_entropy_with_logits(logits, labels.float())

    assert mean_loss(*single, task=SINGLE) == pytest.approx(float(one), abs=1e-5)
    assert mean_loss(*sets, task=MULTI) == pytest.approx(float(many), abs=1e-5)


def test_a_drift_of_label_sets_worked_out_by_hand() -> None:
    labels = np.asarray([[1, 0], [1, 1]])
    before = np.asarray([[1, -1], [1, 1]], dtype=np.float32)
    after = np.asarray([[1, -1], [1, -1]], dtype=np.float32)

    found = drift(before, after, labels, task=MULTI)

    assert (found.accuracy_before, found.accuracy_after, found.accuracy_drop) == (1.0, 0.5, 0.5)
    assert (found.label_agreement, found.largest_shift) == (0.5, 2.0)


def answers(*labels: int) -> Logits:
    """Logits that give these labels, of two."""
    return np.eye(2, dtype=np.float32)[list(labels)]


def test_a_difference_counts_the_texts_that_one_model_alone_gets_right() -> None:
    known = np.asarray([1, 1, 1, 1, 0])

    found = difference(answers(1, 0, 0, 0, 0), answers(0, 1, 1, 0, 0), known, task=SINGLE)

    assert (found.won, found.lost) == (2, 1)
    assert found.points == pytest.approx(0.2)
    assert found.interval[0] <= found.points <= found.interval[1]


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (1, 0), (3, 1), (10, 2), (7, 7), (0, 12)])
def test_the_p_value_is_that_of_the_exact_binomial_test(won: int, lost: int) -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    known = np.ones(won + lost + 3, dtype=np.int64)
    reference = answers(*[0] * won, *[1] * (lost + 3))
    other = answers(*[1] * won, *[0] * lost, *[1] * 3)

    found = difference(reference, other, known, task=SINGLE)

    expected = scipy_stats.binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert found.p_value == pytest.approx(expected)


def test_a_difference_of_thousands_of_texts_has_a_p_value() -> None:
    known = np.ones(4_000, dtype=np.int64)
    even = answers(*[0, 1] * 2_000), answers(*[1, 0] * 2_000)

    assert difference(*even, known, task=SINGLE).p_value == pytest.approx(1)


def test_the_interval_of_macro_f1_holds_it_and_narrows_with_more_texts() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 2_000)
    logits = answers(*np.where(generator.random(2_000) < 0.8, labels, 1 - labels))

    few, many = (
        macro_f1_interval(logits[:count], labels[:count], task=SINGLE) for count in (100, 2_000)
    )

    for (low, high), count in ((few, 100), (many, 2_000)):
        exact = score(logits[:count], labels[:count], task=SINGLE).macro_f1
        assert low < exact < high
    assert (few[1] - few[0]) / (many[1] - many[0]) == pytest.approx(20**0.5, rel=0.3)


def test_the_interval_of_a_perfect_macro_f1_is_a_point() -> None:
    labels = np.asarray([0, 1, 0, 1])

    assert macro_f1_interval(answers(0, 1, 0, 1), labels, task=SINGLE) == (1.0, 1.0)
