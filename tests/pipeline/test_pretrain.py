"""Pretraining on the user's text: the result is a stock backbone that can be trained."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
)

from edgeadapt.backbones import backbone_spec
from edgeadapt.data.text_file import TextFile
from edgeadapt.errors import (
    DataError,
    ExportError,
    IntegrityError,
    MissingError,
    ModelError,
    OutputExistsError,
    UsageError,
)
from edgeadapt.pipeline.pretrain import pretrain, resume_pretraining
from edgeadapt.pipeline.train import resume, train
from edgeadapt.recipe import Recipe
from edgeadapt.training import checkpoints
from edgeadapt.training.optimizer import Optimizer
from edgeadapt.training.team import Team
from tests.conftest import make_checkpoint, review
from tests.pipeline.exporting import nothing_is_at
from tests.store.manifests import change_json

pytestmark = pytest.mark.transformers5

TEXTS = [review(number)[0] for number in range(120)]
TYPES = ("bert", "roberta", "electra", "distilbert", "mpnet", "albert", "deberta-v2", "modernbert")


@pytest.fixture
def texts(tmp_path: Path) -> TextFile:
    file = TextFile(tmp_path / "texts.txt")
    file.path.write_text("\n".join(TEXTS))
    return file


def recipe_for(checkpoint: Path, **adapter: object) -> Recipe:
    return Recipe().updated(
        {
            "model": {"id": str(checkpoint), "max_length": 32},
            "adapter": {"dimension": 4, **adapter},
            "training": {
                "epochs": 3, "batch_size": 16, "learning_rate": 1e-2, "device": "cpu", "threads": 1,
            },
        },
        origin="test",
    )  # fmt: skip


@pytest.mark.parametrize("method", ["parallel", "full", "lora+bitfit"])
def test_held_out_text_is_guessed_better_and_the_task_can_be_trained_on_it(
    texts: TextFile,
    checkpoint: Path,
    tiny_recipe: Callable[..., Recipe],
    tmp_path: Path,
    method: str,
) -> None:
    found = pretrain(texts, recipe_for(checkpoint, method=method), output=tmp_path / "read")

    assert found.after < found.before
    assert found.texts == len(TEXTS) - round(0.05 * len(set(TEXTS)))
    told = json.loads((found.path / "pretraining.json").read_text())
    assert told["perplexity_after"] == found.after
    assert told["recipe"]["adapter"]["method"] == method
    recipe = tiny_recipe(epochs=1).updated({"model": {"id": str(found.path)}}, origin="test")
    assert train(recipe, output=tmp_path / "run").info.backbone.id == str(found.path)


@pytest.mark.parametrize("model_type", TYPES)
def test_every_backbone_can_read_and_plain_transformers_loads_it_whole(
    texts: TextFile, tmp_path: Path, model_type: str
) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint", model_type)

    found = pretrain(texts, recipe_for(checkpoint), output=tmp_path / "read")

    _, report = AutoModel.from_pretrained(found.path, output_loading_info=True)
    assert not report["unexpected_keys"]
    # A pooler that the classifier of this type does not have is drawn anew, as it always is.
    assert all(key.startswith("pooler.") for key in report["missing_keys"])
    assert not report["missing_keys"] or not backbone_spec(model_type).head[0].endswith("pooler")


def test_adapters_that_do_not_fold_are_refused_and_nothing_is_left(
    texts: TextFile, checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="do not fold into a backbone") as caught:
        pretrain(texts, recipe_for(checkpoint, method="houlsby"), output=tmp_path / "x" / "read")

    assert "parallel" in caught.value.hint
    assert nothing_is_at(tmp_path / "x")


def test_an_existing_folder_is_refused_before_any_work(
    texts: TextFile, checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "read").mkdir()

    with pytest.raises(OutputExistsError):
        pretrain(texts, recipe_for(checkpoint), output=tmp_path / "read")


def test_text_of_which_the_tokenizer_knows_no_word_is_refused(
    checkpoint: Path, tmp_path: Path
) -> None:
    file = TextFile(tmp_path / "texts.txt")
    file.path.write_text("\n".join(f"καλο φιλμ {'.' * number}" for number in range(20)), "utf-8")

    with pytest.raises(DataError, match="In 20 of 20 training texts no word"):
        pretrain(file, recipe_for(checkpoint), output=tmp_path / "x" / "read")

    assert nothing_is_at(tmp_path / "x")


def test_several_processes_are_refused(
    texts: TextFile, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Team, "launched", lambda: Team(rank=1, size=2))

    with pytest.raises(UsageError, match="one process"):
        pretrain(texts, recipe_for(checkpoint), output=tmp_path / "read")

    assert not (tmp_path / "read").exists()


def test_texts_are_lines_or_a_column(tmp_path: Path) -> None:
    lines = tmp_path / "texts.txt"
    lines.write_bytes("\ufeffone\r\n\n  two words \nthrée\u2028still three\n".encode())
    table = tmp_path / "texts.csv"
    table.write_text('body\none\n"two\nlines"\n')

    assert TextFile(lines).read() == ("one", "two words", "thrée\u2028still three")
    assert TextFile(table, "body").read() == ("one", "two\nlines")


@pytest.mark.parametrize(
    ("content", "place"),
    [(b"", ""), (b"\n \n", ""), (b"same\nsame\n", ""), (b"other\ncaf\xe9\n", ", line 2")],
)
def test_texts_that_cannot_be_used_are_named(tmp_path: Path, content: bytes, place: str) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes(content)

    with pytest.raises(DataError, match=rf"texts\.txt{place}: expected"):
        TextFile(path).read()


def test_empty_rows_of_a_table_are_left_out_where_asked(tmp_path: Path) -> None:
    table = tmp_path / "texts.csv"
    table.write_text('text\none\n" "\ntwo\n')

    with pytest.raises(DataError, match="row 2: the text is empty") as caught:
        TextFile(table).read()

    assert "--skip-empty" in caught.value.hint
    assert TextFile(table, skip_empty=True).read() == ("one", "two")


@pytest.mark.parametrize("step", [1, 4, 9])
def test_stopped_it_goes_on_and_gives_the_same_encoder_bit_for_bit(
    texts: TextFile,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    recipe = recipe_for(checkpoint).updated({"training": {"checkpoint_steps": 3}}, origin="test")
    whole = pretrain(texts, recipe, output=tmp_path / "whole")
    real = Optimizer.step

    def counted(self: Optimizer) -> None:
        if self.steps == step:
            raise SystemExit(143)
        real(self)

    with monkeypatch.context() as patch:
        patch.setattr(Optimizer, "step", counted)
        # As after a kill: what a failure before the first state would remove stays.
        patch.setattr(checkpoints.shutil, "rmtree", _nothing)
        with pytest.raises(SystemExit):
            pretrain(texts, recipe, output=tmp_path / "read")
    torch.rand(3)  # another random state than the one it was stopped in

    found = resume_pretraining(tmp_path / "read")

    assert (found.before, found.after, found.accuracy) == (
        whole.before,
        whole.after,
        whole.accuracy,
    )
    names = {file.name for file in found.path.iterdir()}
    assert names == {file.name for file in whole.path.iterdir()}
    weights = "model.safetensors"
    assert (found.path / weights).read_bytes() == (whole.path / weights).read_bytes()


def test_going_on_needs_the_same_text_and_the_command_that_began(
    texts: TextFile, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Optimizer) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Optimizer, "step", interrupted)
        patch.setattr(checkpoints.shutil, "rmtree", _nothing)
        with pytest.raises(KeyboardInterrupt):
            pretrain(texts, recipe_for(checkpoint), output=tmp_path / "read")
    texts.path.write_text("other\ntext\n")

    with pytest.raises(IntegrityError, match="the texts changed"):
        resume_pretraining(tmp_path / "read")
    with pytest.raises(MissingError, match="expected edgeadapt train, found edgeadapt pretrain"):
        resume(tmp_path / "read")


def _nothing(*args: object, **more: object) -> None: ...


def test_sizes_far_beyond_the_weights_are_refused_before_anything_is_allocated(
    texts: TextFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(*_: object, **__: object) -> None:
        pytest.fail("a model was built")

    for loader in (AutoModelForMaskedLM, AutoModelForSequenceClassification):
        monkeypatch.setattr(loader, "from_pretrained", allocate)
    checkpoint = make_checkpoint(tmp_path / "checkpoint")
    change_json(checkpoint / "config.json", intermediate_size=10**8)

    with pytest.raises(ModelError, match="intermediate_size = 100000000 asks for about"):
        pretrain(texts, recipe_for(checkpoint), output=tmp_path / "x" / "read")

    assert nothing_is_at(tmp_path / "x")


def test_a_file_outside_the_folder_that_the_tokenizer_names_is_not_read(
    texts: TextFile, tmp_path: Path
) -> None:
    checkpoint, other = make_checkpoint(tmp_path / "checkpoint"), tmp_path / "elsewhere.json"
    other.write_text('{"mask_token": "good"}')
    plain = pretrain(texts, recipe_for(checkpoint), output=tmp_path / "plain")
    change_json(checkpoint / "tokenizer_config.json", special_tokens_map_file=str(other))

    found = pretrain(texts, recipe_for(checkpoint), output=tmp_path / "read")

    assert (found.before, found.after) == (plain.before, plain.after)
