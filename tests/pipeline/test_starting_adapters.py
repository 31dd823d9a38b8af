"""Adapters from other libraries on a given backbone: import, start, and wrong ones."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgeadapt.data import write_csv
from edgeadapt.errors import (
    DataError,
    EdgeAdaptError,
    IntegrityError,
    ModelError,
    OutputExistsError,
    UsageError,
)
from edgeadapt.interop import adapters as foreign
from edgeadapt.interop.adapters import started
from edgeadapt.models.inference import torch_logits
from edgeadapt.models.opened import OpenedRun
from edgeadapt.models.parity import parity_gate
from edgeadapt.models.sources import ModelSource
from edgeadapt.pipeline import train as training
from edgeadapt.pipeline.convert import convert
from edgeadapt.pipeline.export import ExportOptions, Quantization, export
from edgeadapt.pipeline.importing import import_adapter
from edgeadapt.pipeline.inspect import inspect
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import DataConfig, Exporter, Format, ModelConfig, Recipe, Task, Tuned
from edgeadapt.store.files import write_json
from edgeadapt.store.run import Run
from edgeadapt.training.datasets import load_dataset
from edgeadapt.training.objectives import Objective
from edgeadapt.training.outcome import Outcome
from tests.conftest import TINY_CONFIGS, review, write_dataset
from tests.lively import lively_checkpoint
from tests.pipeline.exporting import PLAIN, content, nothing_is_at, read_csv
from tests.tasks import MULTI_LABEL, PAIRS, task_recipe

TEXTS = [review(number)[0] for number in range(100, 112)]
Step0 = list[dict[str, Tensor]]


@pytest.fixture(scope="module")
def shared(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted") / "adapter"
    convert(run, folder, to=Format.ADAPTERHUB)
    return folder


@pytest.fixture
def adapter(shared: Path, tmp_path: Path) -> Path:
    """A trained adapter of ours in AdapterHub's format, to be changed."""
    return Path(shutil.copytree(shared, tmp_path / "adapter"))


@pytest.fixture(scope="module")
def without_data(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return imported(shared, tmp_path_factory.mktemp("imported") / "run")


def imported(
    folder: Path, output: Path, data: DataConfig | None = None, *, force: bool = False,
    **model: object,
) -> Run:  # fmt: skip
    config = ModelConfig(**{"id": "", "max_length": 32, **model})
    return import_adapter(
        folder, model=config, model_named="id" in model, data=data, output=output, force=force
    )


def run_logits(run: Run) -> np.ndarray:
    return torch_logits(
        OpenedRun(run).classifier().model, OpenedRun(run).encoder, TEXTS, batch_size=4
    )


def data_of(run: Run) -> DataConfig:
    return run.info.recipe.data


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def without_head(folder: Path) -> Path:
    for name in ("head_config.json", "pytorch_model_head.bin"):
        (folder / name).unlink()
    return folder


def other_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("output.dense.weight"))
    tensors[name] = tensors[name] + 0.1
    save_file(tensors, path, metadata={"format": "pt"})


def other_vocabulary(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"film"', '"movie"'))


def other_config(folder: Path) -> None:
    edit(folder / "config.json", layer_norm_eps=1e-3)


OTHERS: Mapping[str, Callable[[Path], None]] = {
    "backbone_sha256": other_weights,
    "tokenizer_sha256": other_vocabulary,
    "backbone_config_sha256": other_config,
}


class TestAnAdapterOfAnotherModel:
    @pytest.mark.parametrize("what", OTHERS)
    def test_is_not_imported(self, adapter: Path, tmp_path: Path, what: str) -> None:
        other = lively_checkpoint(tmp_path / "other")
        assert imported(adapter, tmp_path / "same", id=str(other)).info.labels
        OTHERS[what](other)
        expected = json.loads((adapter / "edgeadapt.json").read_text())

        with pytest.raises(IntegrityError) as caught:
            imported(adapter, tmp_path / "r" / "run", id=str(other))

        start = f"{adapter} belongs to another model: {what}: expected {expected[what]}, found "
        assert caught.value.message.startswith(start)
        assert expected["base_model"] in caught.value.hint
        assert nothing_is_at(tmp_path / "r")

    @pytest.mark.parametrize("kind", ["run", "folder"])
    @pytest.mark.parametrize("what", OTHERS)
    def test_is_nothing_to_start_from(
        self, run: Run, adapter: Path, tmp_path: Path, what: str, kind: str
    ) -> None:
        other = lively_checkpoint(tmp_path / "other")
        OTHERS[what](other)
        start = run.path if kind == "run" else adapter
        changes = {"model": {"id": str(other)}, "adapter": {"start": str(start)}}
        recipe = Recipe.load(str(run.path)).updated(changes, origin="test")

        with pytest.raises(IntegrityError, match=rf"{what}: expected [0-9a-f]+, found [0-9a-f]+"):
            train(recipe, output=tmp_path / "r" / "run")

        assert nothing_is_at(tmp_path / "r")

    @pytest.mark.parametrize(
        ("kind", "error"),
        [("run", "backbone_sha256: expected"), ("folder", "hidden_size: expected 32.*found 16")],
    )
    def test_of_another_width_is_nothing_to_start_from(
        self,
        run: Run,
        adapter: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        kind: str,
        error: str,
    ) -> None:
        monkeypatch.setitem(TINY_CONFIGS, "bert", {**TINY_CONFIGS["bert"], "hidden_size": 32})
        wide = lively_checkpoint(tmp_path / "wide")
        start = run.path if kind == "run" else adapter
        changes = {"model": {"id": str(wide)}, "adapter": {"start": str(start)}}
        recipe = Recipe.load(str(run.path)).updated(changes, origin="test")

        with pytest.raises(EdgeAdaptError, match=error):
            train(recipe, output=tmp_path / "r" / "run")

        assert nothing_is_at(tmp_path / "r")

    def test_is_noticed_by_its_labels(self, adapter: Path, tmp_path: Path) -> None:
        edit(adapter / "edgeadapt.json", labels=["positive", "negative"])

        with pytest.raises(IntegrityError, match=r"'negative', 'positive'.*'positive', 'negative'"):
            imported(adapter, tmp_path / "r" / "run")

        assert nothing_is_at(tmp_path / "r")

    def test_is_noticed_by_the_labels_of_the_data(self, adapter: Path, tmp_path: Path) -> None:
        texts = [review(number)[0] for number in range(20)]
        write_csv(tmp_path / "data.csv", {"text": texts, "label": ["up", "down"] * 10})

        with pytest.raises(DataError, match="expected negative, positive, found down, up"):
            imported(adapter, tmp_path / "r" / "run", DataConfig(str(tmp_path / "data.csv")))

        assert nothing_is_at(tmp_path / "r")

    def test_is_not_one_whose_texts_are_cut_elsewhere(self, adapter: Path, tmp_path: Path) -> None:
        run = imported(adapter, tmp_path / "run", max_length=16)

        assert OpenedRun(run).encoder.max_length == 16

    def test_is_not_one_whose_backbone_moved(self, adapter: Path, tmp_path: Path) -> None:
        edit(adapter / "adapter_config.json", model_name=str(tmp_path / "gone"))
        moved = lively_checkpoint(tmp_path / "moved")

        with pytest.raises(ModelError, match=f"no folder {tmp_path / 'gone'}") as caught:
            imported(adapter, tmp_path / "r" / "run")

        assert "--model" in caught.value.hint
        assert nothing_is_at(tmp_path / "r")
        assert imported(adapter, tmp_path / "run", id=str(moved)).info.backbone.id == str(moved)


class TestWithoutData:
    def test_a_run_holds_no_examples_and_no_scores(self, without_data: Run) -> None:
        info = without_data.info

        assert not {"validation.csv", "predictions.csv"} & info.files.keys()
        assert sorted(content(without_data.path).keys() - {"run.json"}) == sorted(info.files)
        assert (info.validation, info.test, info.data.examples) == (None, None, {})
        assert info.data.fingerprint is None

    def test_inspect_says_all_but_accuracy(self, without_data: Run) -> None:
        told = inspect(str(without_data.path))

        assert told["imported_from"] == "adapter (adapterhub)"
        assert told["labels"] == ["negative", "positive"]
        assert not {"validation_accuracy", "test_accuracy", "best_epoch", "seconds"} & told.keys()

    def test_parity_is_asked_on_the_embedded_reviews(self, without_data: Run) -> None:
        gate = parity_gate(OpenedRun(without_data))

        reviews = load_dataset(DataConfig()).validation.texts
        assert len(gate.texts) == 64
        assert set(gate.texts) <= set(reviews)

    def test_a_bundle_is_made_and_its_card_says_that_accuracy_was_not_measured(
        self, without_data: Run, tmp_path: Path
    ) -> None:
        bundle = export(without_data, options=PLAIN, output=tmp_path / "bundle")

        assert bundle.manifest.gates.onnx.texts == 64
        assert "evaluation.csv" not in bundle.manifest.files
        card = (bundle.path / "README.md").read_text()
        assert "| test, before export | not measured: imported without data" in card
        assert inspect(str(bundle.path))["int8_accuracy_drop"] is None

    def test_int8_is_refused_with_a_way_out(self, without_data: Run, tmp_path: Path) -> None:
        options = ExportOptions(quantize=Quantization(), exporter=Exporter.TORCH)

        with pytest.raises(UsageError, match=r"--quantize: .*no labelled text") as caught:
            export(without_data, options=options, output=tmp_path / "b" / "bundle")

        assert "--dataset" in caught.value.hint
        assert nothing_is_at(tmp_path / "b")

    def test_pairs_label_sets_and_the_depth_of_the_backbone_are_known_from_the_adapter(
        self, tmp_path: Path
    ) -> None:
        recipe = task_recipe(tmp_path, f"{PAIRS}+{MULTI_LABEL}", method="lora").updated(
            {"model": {"layers": 1}, "training": {"epochs": 1}}, origin="test"
        )
        first = train(recipe, output=tmp_path / "first")
        convert(first, tmp_path / "adapter", to=Format.PEFT)

        again = imported(tmp_path / "adapter", tmp_path / "again")

        assert (again.info.task, again.info.pairs) == (Task.MULTI_LABEL, True)
        assert Recipe.load(str(again.path)).model.layers == 1
        assert again.info.labels == first.info.labels
        assert OpenedRun(again).classifier().model.config.num_hidden_layers == 1


class TestWithData:
    def test_scores_and_answers_are_those_of_the_run_it_comes_from(
        self, run: Run, adapter: Path, tmp_path: Path
    ) -> None:
        again = imported(adapter, tmp_path / "run", data_of(run))

        assert (again.info.validation, again.info.test) == (run.info.validation, run.info.test)
        assert again.info.data.fingerprint == run.info.data.fingerprint
        assert again.info.data.examples == {"validation": 24, "test": 24}
        for file in ("validation.csv", "predictions.csv"):
            assert read_csv(again.path / file) == read_csv(run.path / file)

    def test_pairs_and_label_sets_keep_their_meaning_in_the_adapters_order(
        self, tmp_path: Path
    ) -> None:
        recipe = task_recipe(tmp_path, f"{PAIRS}+{MULTI_LABEL}", method="lora")
        first = train(recipe, output=tmp_path / "first")
        convert(first, tmp_path / "adapter", to=Format.PEFT)
        names = list(first.info.labels[1:] + first.info.labels[:1])
        (tmp_path / "data" / "labels.json").write_text(json.dumps(names))

        again = imported(tmp_path / "adapter", tmp_path / "again", recipe.data)

        assert (again.info.task, again.info.pairs) == (Task.MULTI_LABEL, True)
        assert again.info.labels == first.info.labels != tuple(names)
        assert again.info.test == first.info.test
        for file in ("validation.csv", "predictions.csv"):
            assert read_csv(again.path / file) == read_csv(first.path / file)

    def test_the_recipe_says_where_the_data_is_from_any_folder(
        self, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The name that stands for no data in a recipe is a folder's name like any other.
        write_dataset(tmp_path / "none")
        monkeypatch.chdir(tmp_path)

        run = imported(adapter, tmp_path / "run", DataConfig(dataset="none"))

        assert run.info.recipe.data.dataset == str((tmp_path / "none").resolve())
        assert run.info.test.texts == 24


class TestImporting:
    def test_a_revision_counts_for_the_backbone_that_the_adapter_names(
        self, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[ModelConfig] = []
        real = foreign.find_model

        def watched(config: ModelConfig) -> ModelSource:
            asked.append(config)
            return real(config)

        monkeypatch.setattr(foreign, "find_model", watched)

        imported(adapter, tmp_path / "run", revision="abc")

        named = json.loads((adapter / "adapter_config.json").read_text())["model_name"]
        assert [(config.id, config.revision) for config in asked] == [(named, "abc")]

    @pytest.mark.parametrize(("given", "asked_for"), [({}, "def"), ({"revision": "abc"}, "abc")])
    def test_a_revision_that_a_peft_adapter_names_counts_unless_one_is_given(
        self, tmp_path: Path, given: dict[str, str], asked_for: str
    ) -> None:
        write_json(
            tmp_path / "adapter_config.json",
            {"peft_type": "LORA", "base_model_name_or_path": "a/b/c", "revision": "def"},
        )
        config = ModelConfig(id="", **given)

        assert foreign.own_model(tmp_path, config) == ModelConfig(id="a/b/c", revision=asked_for)

    @pytest.mark.parametrize("written_as", Format)
    def test_the_formats_own_libraries_are_not_needed(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written_as: Format
    ) -> None:
        for name in ("adapters", "peft"):
            monkeypatch.setitem(sys.modules, name, None)
        if written_as is Format.PEFT:
            recipe = Recipe.load(str(run.path)).updated(
                {"adapter": {"method": "lora"}, "training": {"epochs": 1}}, origin="test"
            )
            run = train(recipe, output=tmp_path / "lora")

        convert(run, tmp_path / "adapter", to=written_as)

        again = imported(tmp_path / "adapter", tmp_path / "run")
        np.testing.assert_allclose(run_logits(again), run_logits(run), rtol=0, atol=1e-5)

    def test_texts_are_cut_where_the_backbone_has_no_more_positions(
        self, adapter: Path, tmp_path: Path
    ) -> None:
        run = imported(adapter, tmp_path / "run", max_length=500)

        assert OpenedRun(run).encoder.max_length == TINY_CONFIGS["bert"]["max_position_embeddings"]

    def test_an_existing_run_is_kept_unless_it_may_be_replaced(
        self, adapter: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "note").write_text("mine")

        with pytest.raises(OutputExistsError, match="exists already"):
            imported(adapter, tmp_path / "run")
        assert content(tmp_path / "run") == {"note": b"mine"}

        with pytest.raises(OutputExistsError, match=r"expected a folder with run\.json"):
            imported(adapter, tmp_path / "run", force=True)
        assert content(tmp_path / "run") == {"note": b"mine"}

        (tmp_path / "run" / "run.json").write_text("{}")
        run = imported(adapter, tmp_path / "run", force=True)
        run.verify()
        assert not (tmp_path / "run" / "note").exists()

    @pytest.mark.parametrize(
        ("file", "damage"),
        [
            ("adapter_config.json", b"{"),
            ("edgeadapt.json", b'{"format_version": 1, "labels": 3}'),
            ("edgeadapt.json", b'{"format_version": 99}'),
            ("pytorch_adapter.bin", None),
        ],
    )
    def test_damaged_files_are_named(
        self, adapter: Path, tmp_path: Path, file: str, damage: bytes | None
    ) -> None:
        path = adapter / file
        path.write_bytes(path.read_bytes()[:500] if damage is None else damage)

        with pytest.raises(EdgeAdaptError, match=file):
            imported(adapter, tmp_path / "r" / "run")

        assert nothing_is_at(tmp_path / "r")

    def test_without_a_head_it_is_refused_and_the_hint_names_the_command(
        self, run: Run, adapter: Path, tmp_path: Path
    ) -> None:
        without_head(adapter)

        with pytest.raises(ModelError, match=r"no complete head.*classifier\.weight") as caught:
            imported(adapter, tmp_path / "r" / "run")

        command = f"edgeadapt train --adapter {adapter} --model {run.info.backbone.id}"
        assert f"{command} --dataset DATA" in caught.value.hint
        assert nothing_is_at(tmp_path / "r")


class TestStartingFrom:
    @pytest.fixture
    def step_0(self, monkeypatch: pytest.MonkeyPatch) -> Step0:
        """What is trained, as it was before the first step."""
        seen: Step0 = []
        real = training.fit

        def watched(
            objective: Objective, trained: Mapping[str, torch.nn.Parameter], **more: object
        ) -> Outcome:
            seen.append({n: p.detach().clone() for n, p in trained.items()})
            return real(objective, trained, **more)

        monkeypatch.setattr(training, "fit", watched)
        return seen

    @staticmethod
    def recipe(run: Run, start: Path, **changes: dict[str, object]) -> Recipe:
        """The run's recipe with another adapter's start and, until it is read, another shape."""
        tables = {"adapter": {"start": str(start), "method": "houlsby", "dimension": 7}}
        tables["training"] = {"epochs": 1, "learning_rate": 1e-3}
        return Recipe.load(str(run.path)).updated({**tables, **changes}, origin="test")

    @staticmethod
    def weights(run: Run) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """A run's adapter and its head."""
        names = ("adapter", "head")
        adapter, head = (load_file(run.path / "weights" / f"{n}.safetensors") for n in names)
        return adapter, head

    @pytest.mark.parametrize("kind", ["run", "folder"])
    def test_the_first_step_sees_adapter_and_head_where_the_labels_are_the_same(
        self, run: Run, adapter: Path, tmp_path: Path, step_0: Step0, kind: str
    ) -> None:
        start = run.path if kind == "run" else adapter
        before, head = self.weights(run)

        second = train(self.recipe(run, start), output=tmp_path / "second")

        assert step_0[0].keys() == before.keys() | head.keys()
        assert all(torch.equal(step_0[0][n], t) for n, t in {**before, **head}.items())
        after = {**self.weights(second)[0], **self.weights(second)[1]}
        assert any(not torch.equal(step_0[0][name], tensor) for name, tensor in after.items())

    def test_no_step_leaves_the_answers_as_they_were(self, run: Run, tmp_path: Path) -> None:
        recipe = self.recipe(run, run.path, training={"epochs": 1, "learning_rate": 1e-12})

        second = train(recipe, output=tmp_path / "second")

        np.testing.assert_allclose(run_logits(second), run_logits(run), rtol=0, atol=1e-5)

    def test_for_the_same_labels_in_another_order_the_rows_of_the_head_follow_them(
        self, run: Run, tmp_path: Path, step_0: Step0
    ) -> None:
        folder = write_dataset(tmp_path / "data")
        (folder / "labels.json").write_text(json.dumps(["positive", "negative"]))
        before, head = self.weights(run)

        second = train(
            self.recipe(run, run.path, data={"dataset": str(folder)}), output=tmp_path / "second"
        )

        assert second.info.labels == ("positive", "negative")
        assert all(torch.equal(step_0[0][name], tensor) for name, tensor in before.items())
        for name, tensor in head.items():
            expected = tensor.flip(0) if name.startswith("classifier.") else tensor
            assert torch.equal(step_0[0][name], expected), name

    def test_for_other_labels_the_head_is_new(
        self, run: Run, tmp_path: Path, step_0: Step0
    ) -> None:
        labels = ["mixed", "negative", "positive"]
        folder = write_dataset(tmp_path / "data")
        (folder / "labels.json").write_text(json.dumps(labels))
        before, head = self.weights(run)

        second = train(
            self.recipe(run, run.path, data={"dataset": str(folder)}), output=tmp_path / "second"
        )

        assert second.info.labels == tuple(labels)
        assert all(torch.equal(step_0[0][name], tensor) for name, tensor in before.items())
        drawn = step_0[0]["classifier.weight"]
        assert drawn.shape == (len(labels), 16)
        assert not any(
            torch.equal(row, other) for row in drawn for other in head["classifier.weight"]
        )

    def test_a_head_is_trained_for_an_adapter_that_came_without(
        self, run: Run, adapter: Path, tmp_path: Path, step_0: Step0
    ) -> None:
        before, head = self.weights(run)

        second = train(self.recipe(run, without_head(adapter)), output=tmp_path / "second")

        assert all(torch.equal(step_0[0][name], tensor) for name, tensor in before.items())
        assert not torch.equal(step_0[0]["classifier.weight"], head["classifier.weight"])
        trained = self.weights(second)[1]["classifier.weight"]
        assert not torch.equal(step_0[0]["classifier.weight"], trained)

    @pytest.mark.parametrize("kind", ["run", "folder"])
    def test_the_recipe_takes_the_adapters_shape_and_keeps_dropout(
        self, run: Run, adapter: Path, kind: str
    ) -> None:
        start = run.path if kind == "run" else adapter
        asked = Recipe.from_dict(
            {
                "model": {"id": run.info.backbone.id},
                "adapter": {"start": str(start), "method": "lora", "dropout": 0.3},
            },
            origin="test",
        )

        recipe, found = started(asked)

        assert found is not None
        assert (recipe.adapter.method, recipe.adapter.dropout) == ("parallel", 0.3)
        assert recipe.adapter.start == str(start.resolve())
        assert {tuple(t.shape) for n, t in found.tensors.items() if "down.weight" in n} == {(4, 16)}
        assert recipe.resolved().training.learning_rate == Tuned().rate_of(recipe.adapter.kinds)
        assert started(recipe)[0] == recipe

    @pytest.mark.parametrize("kind", ["run", "folder"])
    def test_the_backbone_is_the_adapters_where_none_is_named(
        self, run: Run, adapter: Path, kind: str
    ) -> None:
        start = run.path if kind == "run" else adapter
        asked = Recipe.from_dict(
            {"model": {"max_length": 16}, "adapter": {"start": str(start)}}, origin="test"
        )

        recipe, _ = started(asked, model_named=False)

        assert (recipe.model.id, recipe.model.max_length) == (run.info.backbone.id, 16)

    def test_the_start_in_a_recipe_does_not_depend_on_the_working_folder(
        self, run: Run, adapter: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(adapter.parent)

        recipe, _ = started(self.recipe(run, Path(adapter.name)))

        assert recipe.adapter.start == str(adapter.resolve())

    def test_nothing_changes_where_nothing_is_started_from(self, run: Run) -> None:
        recipe = Recipe.load(str(run.path))

        assert started(recipe) == (recipe, None)

    def test_the_start_may_be_gone_afterwards_and_a_bundle_does_not_tell_where_it_was(
        self, run: Run, adapter: Path, tmp_path: Path
    ) -> None:
        second = train(self.recipe(run, adapter), output=tmp_path / "second")
        shutil.rmtree(adapter)

        bundle = export(second, options=PLAIN, output=tmp_path / "bundle")

        assert bundle.manifest.provenance.recipe["adapter"]["start"] == adapter.name
        assert str(adapter.parent) not in (bundle.path / "manifest.json").read_text()

    def test_a_damaged_run_is_refused(self, run: Run, tmp_path: Path) -> None:
        damaged = Path(shutil.copytree(run.path, tmp_path / "damaged"))
        file = damaged / "weights" / "adapter.safetensors"
        file.write_bytes(file.read_bytes()[:-1] + b"?")

        with pytest.raises(IntegrityError, match=r"adapter\.safetensors"):
            train(self.recipe(run, damaged), output=tmp_path / "r" / "run")

        assert nothing_is_at(tmp_path / "r")


def test_data_of_which_the_tokenizer_knows_no_word_is_refused(shared: Path, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data")
    rows = {
        "text": [f"καλο φιλμ {'.' * number}" for number in range(24)],
        "label": ["negative", "positive"] * 12,
    }
    write_csv(folder / "test.csv", rows)

    with pytest.raises(DataError, match="In 24 of 24 test texts no word"):
        imported(shared, tmp_path / "x" / "run", DataConfig(dataset=str(folder)))

    assert nothing_is_at(tmp_path / "x")
