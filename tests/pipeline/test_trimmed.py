"""Bundles with a smaller vocabulary: logits, consistent files, and the gate."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer

import edgeadapt
from edgeadapt.errors import ExportError, GateError, UsageError
from edgeadapt.models.opened import OpenedRun
from edgeadapt.pipeline.export import Quantization, Trimming, export
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.shrink.tokenizer import trim
from edgeadapt.shrink.vocabulary import vocabularies
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run
from tests.pipeline.exporting import PLAIN, nothing_is_at, read_csv, texts_of, without_file
from tests.steady import steady_latencies
from tests.store.handmade import step_of

pytestmark = pytest.mark.usefixtures("steady")

KEPT = 60
"""Embeddings, of some hundred."""


@pytest.fixture(scope="module")
def spelled(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return made("spelled", run, tmp_path_factory.mktemp("spelled") / "small")


@pytest.fixture(scope="module")
def shared(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return made("shared", run, tmp_path_factory.mktemp("shared") / "small")


@pytest.fixture(params=["spelled", "shared"])
def small(request: pytest.FixtureRequest) -> Bundle:
    bundle: Bundle = request.getfixturevalue(request.param)
    return bundle


def made(way: str, run: Run, output: Path) -> Bundle:
    """A bundle in which the other pieces are spelled, or share embeddings."""
    options = replace(
        PLAIN,
        trim=Trimming(KEPT),
        quantize=Quantization(),
        max_drop=1.0,
        with_torch=True,
    )
    with pytest.MonkeyPatch.context() as patch:
        only(way, patch)
        with steady_latencies():
            return export(run, options=options, output=output)


def only(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_that_way(*arguments: object) -> list[object]:
        return [each for each in every(*arguments) if each.way == way]

    every = vocabularies
    monkeypatch.setattr("edgeadapt.shrink.vocabulary.vocabularies", of_that_way)


def test_spelled_the_tokenizer_and_the_embeddings_are_smaller_by_as_much(
    run: Run, spelled: Bundle
) -> None:
    before = OpenedRun(run).encoder.tokenizer.get_vocab_size()
    config = json.loads((spelled.path / "config.json").read_text())
    report = step_of(spelled, "vocabulary").taken.settings

    assert spelled.text_encoder().tokenizer.get_vocab_size() == KEPT
    assert config["vocab_size"] == KEPT
    assert (report["pieces_before"], report["pieces"]) == (before, KEPT)
    assert report["tokens"] >= report["tokens_before"] > 2


def test_shared_the_tokenizer_stays_and_texts_get_no_longer(run: Run, shared: Bundle) -> None:
    before = OpenedRun(run).encoder.tokenizer
    report = step_of(shared, "vocabulary").taken.settings

    assert shared.text_encoder().tokenizer.to_str() == before.to_str()
    assert (report["pieces"], report["embeddings"]) == (before.get_vocab_size(), KEPT)
    assert report["tokens"] == report["tokens_before"]


def test_what_is_shared_is_held_once_whatever_passes_are_asked_for(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("shared", monkeypatch)
    options = replace(PLAIN, trim=Trimming(KEPT), max_drop=1.0, passes=())

    found = export(run, options=options, output=tmp_path / "b")

    assert tables_of(found, "fp32") == {KEPT}
    assert found.manifest.provenance.passes == ("shared-rows",)


@pytest.mark.parametrize("few", [8, 30])
def test_with_fewer_than_it_takes_to_spell_pieces_share(run: Run, tmp_path: Path, few: int) -> None:
    options = replace(PLAIN, trim=Trimming(few), max_drop=1.0)

    found = export(run, options=options, output=tmp_path / "b")
    report = step_of(found, "vocabulary").taken.settings

    assert (report["embeddings"], report["others"]) == (few, "shared")


def test_pieces_of_a_tokenizer_that_cannot_be_made_smaller_share(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **options: object) -> object:
        raise ExportError("no such tokenizer")

    monkeypatch.setattr("edgeadapt.shrink.vocabulary.trim", refused)
    options = replace(PLAIN, trim=Trimming(KEPT), max_drop=1.0)

    found = export(run, options=options, output=tmp_path / "b")
    report = step_of(found, "vocabulary").taken.settings

    assert (report["embeddings"], report["others"]) == (KEPT, "shared")


def tables_of(bundle: Bundle, variant: str) -> set[int]:
    """Rows of the tables of word pieces in a graph."""
    graph = onnx.load(bundle.path / bundle.manifest.variants[variant].file).graph
    tables = [each for each in graph.initializer if "word_embeddings" in each.name]
    return {each.dims[0] for each in tables if len(each.dims) == 2}


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_a_graph_holds_no_more_embeddings_than_asked_for(small: Bundle, variant: str) -> None:
    assert tables_of(small, variant) == {KEPT}


def test_texts_whose_pieces_stay_get_the_answers_that_they_got(
    run: Run, bundle: Bundle, tmp_path: Path
) -> None:
    size = OpenedRun(run).encoder.tokenizer.get_vocab_size()
    options = replace(PLAIN, trim=Trimming(size - 5), max_drop=1.0)
    small = export(run, options=options, output=tmp_path / "b")
    texts = texts_of(run.path / "predictions.csv")

    before, after = (
        text_logits(load_engine(each, "fp32"), each.text_encoder(), texts)
        for each in (bundle, small)
    )

    np.testing.assert_allclose(after, before, atol=1e-5)


@pytest.mark.parametrize("variant", ["fp32", "int8", "torch"])
def test_every_variant_answers(small: Bundle, variant: str) -> None:
    found = edgeadapt.load(small.path, variant=variant).predict(["the film was great", "xyz"])

    assert len(found) == 2


def test_transformers_and_tokenizers_read_the_same_ids(small: Bundle) -> None:
    texts = ["the film was great", "awful soup, xyz"]
    plain = Tokenizer.from_file(str(small.path / "tokenizer.json"))
    theirs = AutoTokenizer.from_pretrained(small.path)

    ours = [tokens.ids for tokens in small.text_encoder().encode(texts)]
    assert [each.ids for each in plain.encode_batch(texts)] == ours
    assert theirs(texts)["input_ids"] == ours


def test_auto_takes_the_least_that_is_accurate_enough(
    accurate_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = OpenedRun(accurate_run).encoder.tokenizer.get_vocab_size()

    def ruined(*arguments: object, **options: object) -> object:
        found = trim(*arguments, **options)
        smallest = len(found.rows) == size - 6
        return replace(found, rows=[found.rows[0]] * len(found.rows)) if smallest else found

    only("spelled", monkeypatch)
    monkeypatch.setattr("edgeadapt.shrink.vocabulary.trim", ruined)
    # Too small to spell every text; too inaccurate; the least that is right; more than needed.
    monkeypatch.setattr("edgeadapt.shrink.vocabulary.SIZES", (30, size - 6, size - 4, size - 3))

    asked = replace(PLAIN, trim=Trimming(), max_drop=0.0)
    found = export(accurate_run, options=asked, output=tmp_path / "b")

    assert step_of(found, "vocabulary").taken.settings["pieces"] == size - 4


@pytest.mark.parametrize("ruined", ["spelled", "shared"])
def test_of_a_given_number_the_more_accurate_way_is_taken(
    accurate_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ruined: str
) -> None:
    def some_ruined(*arguments: object) -> list[object]:
        return [ruin(each) if each.way == ruined else each for each in every(*arguments)]

    every = vocabularies
    monkeypatch.setattr("edgeadapt.shrink.vocabulary.vocabularies", some_ruined)
    size = OpenedRun(accurate_run).encoder.tokenizer.get_vocab_size()

    asked = replace(PLAIN, trim=Trimming(size - 4), max_drop=1.0)
    found = export(accurate_run, options=asked, output=tmp_path / "b")

    assert step_of(found, "vocabulary").taken.settings["others"] != ruined


def ruin(vocabulary: Any) -> Any:
    """One row for all pieces."""
    return replace(vocabulary, find_rows=lambda: torch.zeros_like(vocabulary.rows))


def test_a_long_text_is_cut_by_whoever_reads_the_tokenizer(run: Run, small: Bundle) -> None:
    plain = Tokenizer.from_file(str(small.path / "tokenizer.json"))

    assert len(plain.encode("film " * 100).ids) == run.info.recipe.model.max_length
    assert plain.padding is None


def test_a_vocabulary_that_costs_too_much_leaves_no_bundle(
    accurate_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_ruined(*arguments: object) -> list[object]:
        return [ruin(each) for each in every(*arguments)]

    every = vocabularies
    monkeypatch.setattr("edgeadapt.shrink.vocabulary.vocabularies", all_ruined)
    size = OpenedRun(accurate_run).encoder.tokenizer.get_vocab_size()
    asked = Trimming(size - 5)

    with pytest.raises(
        GateError, match=r"None of \d vocabularies is good enough. The best, .* embeddings, .*: acc"
    ):
        export(
            accurate_run, options=replace(PLAIN, trim=asked, max_drop=0.0), output=tmp_path / "b"
        )
    assert nothing_is_at(tmp_path)


@pytest.mark.parametrize("missing", ["vocabulary.json", "validation.csv"])
def test_a_run_that_holds_nothing_to_decide_by_is_refused(
    run: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, missing: str
) -> None:
    old = without_file(run, missing, tmp_path_factory.mktemp("old") / "run")

    with pytest.raises(UsageError, match=rf"--trim-vocab: .*\({missing}\)"):
        export(old, options=replace(PLAIN, trim=Trimming()), output=tmp_path / "b")
    assert nothing_is_at(tmp_path)


def test_the_run_counts_the_pieces_of_all_its_training_text(run: Run) -> None:
    counts = json.loads((run.path / "vocabulary.json").read_text())

    assert counts["[CLS]"] == run.info.data.examples["train"]
    assert read_csv(run.path / "calibration.csv")


def test_auto_says_so_where_there_is_nothing_to_leave_out(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--trim-vocab auto: .* word pieces are too few"):
        export(run, options=replace(PLAIN, trim=Trimming()), output=tmp_path / "b")
    assert nothing_is_at(tmp_path)
