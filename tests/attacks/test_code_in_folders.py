"""Python files in a model folder never run, whatever is answered to a prompt."""

import ast
import json
import os
import shutil
from pathlib import Path
from types import ModuleType

import pytest

import edgeadapt
from edgeadapt.data.text_file import TextFile
from edgeadapt.errors import EdgeAdaptError, ModelError
from edgeadapt.models.classifier import load_stock
from edgeadapt.models.sources import find_model
from edgeadapt.pipeline.inspect import inspect
from edgeadapt.pipeline.pretrain import pretrain
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import DataConfig, ModelConfig, Recipe
from edgeadapt.runtime.classifier import load
from edgeadapt.store.bundle import Bundle
from edgeadapt.training.datasets import load_dataset
from tests.children import run_edgeadapt
from tests.conftest import write_dataset

CLASSES = {
    "AutoConfig": "evil.Config",
    "AutoModel": "evil.Model",
    "AutoModelForMaskedLM": "evil.Model",
    "AutoModelForSequenceClassification": "evil.Model",
    "AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"],
}
CONFIGS = (
    "config.json",
    "tokenizer_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "generation_config.json",
)


@pytest.fixture(autouse=True)
def yes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Answers "y" to every question, and trusts everything as far as the environment can."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.setenv("HF_DATASETS_TRUST_REMOTE_CODE", "1")
    monkeypatch.setenv("HF_TRUST_REMOTE_CODE", "1")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))


@pytest.fixture
def trap(checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint beside Python files that leave a mark when they run."""
    folder = Path(shutil.copytree(checkpoint, tmp_path / "trap"))
    set_traps(folder)
    return folder


def set_traps(folder: Path) -> None:
    code = (
        "import pathlib\n"
        f"pathlib.Path({str(mark(folder))!r}).touch()\n"
        "from transformers import BertConfig as Config\n"
        "from transformers import BertForSequenceClassification as Model\n"
        "from transformers import BertTokenizerFast as Tokenizer\n"
    )
    for name in ("evil", "modeling_bert", "tokenization_bert", folder.name):
        (folder / f"{name}.py").write_text(code)


def mark(folder: Path) -> Path:
    return folder.parent / "code-ran"


def name_code(folder: Path, name: str, *, key: str = "auto_map", **changes: object) -> None:
    file = folder / name
    value = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**value, key: CLASSES, **changes}))


def recipe_for(folder: Path, dataset: Path) -> Recipe:
    return Recipe.from_dict(
        {
            "model": {"id": str(folder), "max_length": 32},
            "data": {"dataset": str(dataset)},
            "training": {"epochs": 1, "device": "cpu"},
        },
        origin="test",
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_a_checkpoint_that_names_code_is_refused_with_file_and_key(trap: Path, name: str) -> None:
    name_code(trap, name)

    with pytest.raises(ModelError, match="names code to run: auto_map") as caught:
        find_model(ModelConfig(id=str(trap)))

    assert str(trap / name) in caught.value.message
    assert "'auto_map'" in caught.value.hint
    assert not mark(trap).exists()


@pytest.mark.parametrize("model_type", ["evil", "gpt2", "bert"])
def test_a_config_with_code_is_refused_whatever_its_model_type(trap: Path, model_type: str) -> None:
    name_code(trap, "config.json", model_type=model_type)

    with pytest.raises(ModelError, match="names code to run"):
        find_model(ModelConfig(id=str(trap)))
    assert not mark(trap).exists()


def test_code_in_another_repository_is_refused(trap: Path) -> None:
    name_code(trap, "config.json", auto_map={"AutoModel": "someone/code--evil.Model"})

    with pytest.raises(ModelError, match="someone/code--evil"):
        find_model(ModelConfig(id=str(trap)))


def test_a_pipeline_of_its_own_is_refused(trap: Path) -> None:
    name_code(trap, "config.json", key="custom_pipelines")

    with pytest.raises(ModelError, match="names code to run: custom_pipelines"):
        find_model(ModelConfig(id=str(trap)))


@pytest.mark.parametrize("value", [{}, None])
def test_an_empty_list_of_code_is_no_code(trap: Path, value: object) -> None:
    name_code(trap, "config.json", auto_map=value)

    assert find_model(ModelConfig(id=str(trap))).spec.model_type == "bert"


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_neither_training_nor_pretraining_runs_it(
    trap: Path, dataset_folder: Path, tmp_path: Path, name: str
) -> None:
    name_code(trap, name)
    recipe = recipe_for(trap, dataset_folder)
    (tmp_path / "text.txt").write_text("a film\na meal\n")

    with pytest.raises(ModelError, match="names code to run"):
        train(recipe, output=tmp_path / "run")
    with pytest.raises(ModelError, match="names code to run"):
        pretrain(TextFile(tmp_path / "text.txt"), recipe, output=tmp_path / "read")

    assert not mark(trap).exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_yes_on_standard_input_changes_nothing(
    trap: Path, dataset_folder: Path, tmp_path: Path, name: str
) -> None:
    name_code(trap, name)

    done = run_edgeadapt(
        *("train", "--model", str(trap), "--dataset", str(dataset_folder)),
        *("--output", str(tmp_path / "run")),
        input="y\n" * 100,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )

    assert done.returncode == 1, done.stderr
    assert "names code to run: auto_map" in done.stderr
    assert "[y/N]" not in done.stdout + done.stderr
    assert not mark(trap).exists()


def test_a_stock_model_that_is_loaded_back_runs_no_code(trap: Path) -> None:
    name_code(trap, "config.json", model_type="evil")

    with pytest.raises((EdgeAdaptError, ValueError)):
        load_stock(trap)
    assert not mark(trap).exists()


def test_python_files_that_nothing_names_are_not_looked_at(
    trap: Path, dataset_folder: Path, tmp_path: Path
) -> None:
    train(recipe_for(trap, dataset_folder), output=tmp_path / "run")

    assert not mark(trap).exists()


@pytest.fixture
def trap_bundle(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle.path, tmp_path / "bundle"))


def listed_anew(bundle: Path) -> Bundle:
    """The bundle with a manifest that lists, with right hashes, whatever is there now."""
    return Bundle.write(bundle, Bundle.open(bundle).manifest)


def assert_refused(bundle: Path, *, match: str) -> None:
    """Neither answering nor inspecting gets past the torch variant."""
    with pytest.raises(EdgeAdaptError, match=match):
        load(bundle, variant="torch")
    with pytest.raises(EdgeAdaptError, match=match):
        inspect(str(bundle))
    assert not mark(bundle / "torch").exists()


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("model_type", ["evil", "bert"])
def test_a_bundle_whose_checkpoint_names_code_is_refused(
    trap_bundle: Path, name: str, model_type: str
) -> None:
    set_traps(trap_bundle / "torch")
    name_code(trap_bundle / "torch", name, model_type=model_type)
    listed_anew(trap_bundle)

    assert_refused(trap_bundle, match="names code to run")


def test_a_bundle_whose_checkpoint_is_of_an_unknown_type_is_refused(trap_bundle: Path) -> None:
    name_code(trap_bundle / "torch", "config.json", auto_map={}, model_type="evil")
    listed_anew(trap_bundle)

    assert_refused(trap_bundle, match="model type 'evil' is not supported")


@pytest.mark.parametrize(
    "name", ["evil.py", "tokenizer_config.json", "pytorch_model.bin", "deeper/evil.py"]
)
def test_a_file_beside_a_bundled_checkpoint_that_is_not_listed_is_refused(
    trap_bundle: Path, name: str
) -> None:
    file = trap_bundle / "torch" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("{}")

    assert_refused(trap_bundle, match=rf"a file that its manifest does not list: 'torch/{name}'")


def test_a_link_beside_a_bundled_checkpoint_is_refused(trap_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (trap_bundle / "torch" / "link").symlink_to(tmp_path / "elsewhere")

    assert_refused(trap_bundle, match="torch/link is a link to a folder")


def test_a_script_in_a_folder_of_data_does_not_run(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "reviews")
    set_traps(folder)

    assert len(load_dataset(DataConfig(dataset=str(folder))).train) == 64
    assert not mark(folder).exists()


def test_every_door_of_the_libraries_says_that_no_code_is_trusted() -> None:
    doors = list(calls(edgeadapt, named=("from_pretrained", "load_dataset")))

    assert len(doors) >= 7
    for where, call in doors:
        trusted = [k.value for k in call.keywords if k.arg == "trust_remote_code"]
        assert [ast.unparse(value) for value in trusted] == ["False"], where


def calls(package: ModuleType, *, named: tuple[str, ...]) -> list[tuple[str, ast.Call]]:
    """Every call of a method of such a name in a package, and the file and line where it is."""
    assert package.__file__
    return [
        (f"{file}:{node.lineno}", node)
        for file in sorted(Path(package.__file__).parent.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in named
    ]
