"""The torch engine compared with torch and ONNX Runtime, and its errors."""

import json
import logging
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from edgeadapt.backbones import backbone_spec
from edgeadapt.errors import (
    IntegrityError,
    LayoutError,
    MissingExtraError,
    ModelError,
    UsageError,
)
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.runtime.resized import KeptWidths, resize
from edgeadapt.runtime.torch_engine import TorchEngine
from edgeadapt.store.bundle import Bundle, Manifest
from edgeadapt.store.structure import Structure
from edgeadapt.text import TextEncoder
from tests.conftest import TINY_CONFIGS, make_tokenizer, review
from tests.lively import lively_bundle, lively_model
from tests.models.tiny import make_model
from tests.pruned import pruned_bundle
from tests.store.manifests import change_json

pytestmark = pytest.mark.versions

LIMIT = 1e-4
TEXTS = [review(number)[0] for number in range(0, 400, 23)] + ["film"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return lively_bundle(tmp_path_factory)


@pytest.fixture
def own_bundle(bundle: Bundle, tmp_path: Path) -> Bundle:
    return Bundle.open(Path(shutil.copytree(bundle.path, tmp_path / "copy")))


@pytest.fixture
def torch_threads() -> Iterator[None]:
    """Puts torch's thread count back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_torch_and_onnx_runtime_agree(bundle: Bundle, batch_size: int) -> None:
    encoder = bundle.text_encoder()
    left = text_logits(TorchEngine.load(bundle, "torch"), encoder, TEXTS, batch_size=batch_size)
    right = text_logits(
        OnnxRuntimeEngine.load(bundle, "fp32"), encoder, TEXTS, batch_size=batch_size
    )

    assert left.std(axis=0).min() > 100 * LIMIT, "the answers must depend on the text"
    np.testing.assert_allclose(left, right, rtol=0, atol=LIMIT)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_every_backbone_gives_its_own_logits(tmp_path: Path, model_type: str) -> None:
    model = lively_model(model_type)
    model.save_pretrained(tmp_path)
    batch = TextEncoder(make_tokenizer(), max_length=20, pad_id=0).batch(TEXTS[:4])

    logits = TorchEngine(tmp_path).run(batch)

    with torch.inference_mode():
        expected = model(
            input_ids=torch.from_numpy(batch.input_ids),
            attention_mask=torch.from_numpy(batch.attention_mask),
        ).logits.numpy()
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, rtol=0, atol=LIMIT)


def test_the_engine_runs_without_gradients_or_dropout(bundle: Bundle) -> None:
    engine = TorchEngine.load(bundle, "torch")
    batch = bundle.text_encoder().batch(TEXTS)

    np.testing.assert_array_equal(engine.run(batch), engine.run(batch))


@pytest.mark.usefixtures("torch_threads")
def test_the_engine_uses_as_many_threads_as_asked_for(bundle: Bundle) -> None:
    TorchEngine.load(bundle, "torch", threads=3)

    assert torch.get_num_threads() == 3


def test_the_engine_says_its_name_and_version(bundle: Bundle) -> None:
    assert TorchEngine.load(bundle, "torch").describe() == f"torch {torch.__version__} eager"


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_a_missing_library_is_named_with_its_extra(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "edgeadapt.runtime.torch_engine")

    with pytest.raises(MissingExtraError, match=rf"needs .*\[train\].*'{missing}'") as caught:
        load_engine(bundle, "torch")
    assert 'pip install "edgeadapt[train]"' in caught.value.hint


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_changed_file_of_the_checkpoint_is_refused_and_named(
    own_bundle: Bundle, name: str
) -> None:
    file = own_bundle.path / "torch" / name
    file.write_bytes(file.read_bytes() + b" ")

    with pytest.raises(IntegrityError, match=rf"torch/{name} is not the file"):
        TorchEngine.load(own_bundle, "torch")


@pytest.mark.parametrize(
    "settings",
    [
        {"return_dict": False},
        {"torchscript": True},
        {"output_hidden_states": True, "output_attentions": True},
        {"attn_implementation": "flash_attention_2"},
        {"dtype": "float16", "torch_dtype": "float16"},
    ],
    ids=str,
)
def test_the_form_in_which_a_checkpoint_answers_does_not_matter(
    bundle: Bundle, own_bundle: Bundle, settings: dict[str, object]
) -> None:
    change_config(own_bundle, **settings)
    batch = bundle.text_encoder().batch(TEXTS)

    found = TorchEngine.load(Bundle.open(own_bundle.path), "torch").run(batch)

    np.testing.assert_array_equal(found, TorchEngine.load(bundle, "torch").run(batch))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"position_embedding_type": "alibi"}, "position_embedding_type"),
        ({"emb_pooler": "mean"}, "emb_pooler"),
        ({"is_decoder": True}, "is_decoder"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "bitsandbytes"),
        ({"hidden_act": "odd"}, "cannot load"),
        ({"num_hidden_layers": 3}, r"layer\.2\..* \(missing_keys\)"),
        ({"num_hidden_layers": 1}, r"layer\.1\..* \(unexpected_keys\)"),
    ],
)
def test_settings_that_are_not_of_the_model_are_refused(
    own_bundle: Bundle, settings: dict[str, object], words: str
) -> None:
    change_config(own_bundle, **settings)

    with pytest.raises((LayoutError, ModelError), match=words):
        TorchEngine.load(Bundle.open(own_bundle.path), "torch")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classifier.weight": None}, r"classifier\.weight \(missing_keys\)"),
        ({"classifier.weight": None, "classifier.bias": None}, "found 2: classifier.bias"),
        ({"classifier.weight": torch.zeros(5, 16)}, r"classifier\.weight.* \(mismatched_keys\)"),
        ({"bert.pooler.dense.bias": None}, r"bert\.pooler\.dense\.bias"),
        ({"other.weight": torch.zeros(2)}, r"other\.weight \(unexpected_keys\)"),
    ],
    ids=["no weight", "no head", "another number of labels", "no pooler", "one too many"],
)
def test_weights_that_are_not_all_of_the_model_are_refused_by_name(
    own_bundle: Bundle, change: dict[str, torch.Tensor | None], words: str
) -> None:
    file = own_bundle.path / "torch" / "model.safetensors"
    tensors = {**load_file(file), **change}
    save_file({k: t for k, t in tensors.items() if t is not None}, file, metadata={"format": "pt"})
    Bundle.write(own_bundle.path, own_bundle.manifest)

    with pytest.raises(LayoutError, match=words) as caught:
        TorchEngine.load(Bundle.open(own_bundle.path), "torch")
    assert str(own_bundle.path / "torch") in caught.value.message
    assert "--with-torch" in caught.value.hint


def test_weights_that_break_off_are_refused(own_bundle: Bundle) -> None:
    file = own_bundle.path / "torch" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:3000])
    Bundle.write(own_bundle.path, own_bundle.manifest)

    with pytest.raises(LayoutError, match="cannot load"):
        TorchEngine.load(Bundle.open(own_bundle.path), "torch")


def change_config(bundle: Bundle, **settings: object) -> None:
    """Changes the checkpoint's config.json, and lists the bundle's files anew."""
    file = bundle.path / "torch" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))
    Bundle.write(bundle.path, bundle.manifest)


def test_an_unknown_variant_is_refused_with_those_that_there_are(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="no variant 'half': found fp32, int8, torch"):
        TorchEngine.load(bundle, "half")


def with_variant_file(bundle: Bundle, file: str) -> Bundle:
    """The bundle with another file named for its torch variant."""
    variants = dict(bundle.manifest.variants)
    variants["torch"] = replace(variants["torch"], file=file)
    manifest = Manifest(**{**bundle.manifest.__dict__, "variants": variants})
    return Bundle(bundle.path, manifest)


def test_a_checkpoint_that_the_manifest_does_not_list_is_refused(own_bundle: Bundle) -> None:
    shutil.copytree(own_bundle.path / "torch", own_bundle.path / "other")

    with pytest.raises(LayoutError, match=r"other/model\.safetensors"):
        TorchEngine.load(with_variant_file(own_bundle, "other/model.safetensors"), "torch")


def test_a_checkpoint_outside_the_bundle_is_refused(own_bundle: Bundle) -> None:
    shutil.copytree(own_bundle.path / "torch", own_bundle.path.parent / "outside")

    with pytest.raises(LayoutError, match=r"outside/model\.safetensors"):
        TorchEngine.load(with_variant_file(own_bundle, "../outside/model.safetensors"), "torch")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"vocab_size": 10**8}, "vocab_size = 100000000 asks for about"),
        ({"hidden_size": 10**6}, "hidden_size = 1000000 asks for about"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers: expected at most 1,000"),
        ({"num_labels": 10**9, "id2label": None, "label2id": None}, "num_labels: expected a whole"),
    ],
)
def test_sizes_far_beyond_the_weights_are_refused_before_anything_is_allocated(
    own_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, object],
    words: str,
) -> None:
    def allocate(*_: object, **__: object) -> None:
        pytest.fail("a model was built")

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", allocate)
    change_config(own_bundle, **settings)

    with pytest.raises(ModelError, match=words):
        TorchEngine.load(Bundle.open(own_bundle.path), "torch")


def test_what_does_not_fit_is_said_by_the_error_alone(
    own_bundle: Bundle, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("transformers"), "handlers", [caplog.handler])
    change_config(own_bundle, num_labels=3)

    with pytest.raises(ModelError, match="num_labels is 3"):
        TorchEngine.load(Bundle.open(own_bundle.path), "torch")
    change_config(own_bundle, num_labels=2, num_hidden_layers=3)
    with pytest.raises(LayoutError, match="missing_keys"):
        TorchEngine.load(Bundle.open(own_bundle.path), "torch")

    assert caplog.records == []


def test_a_bundle_with_other_labels_than_its_checkpoint_is_refused(own_bundle: Bundle) -> None:
    for labels in (["positive", "negative"], ["negative", "neutral", "positive"]):
        change_json(own_bundle.path / "manifest.json", labels=labels)

        with pytest.raises(LayoutError, match="id2label: expected the labels of the bundle, "):
            load_engine(Bundle.open(own_bundle.path), "torch")


def test_an_answer_of_another_number_of_labels_is_refused(bundle: Bundle) -> None:
    engine = TorchEngine(bundle.path / "torch", labels=3)

    with pytest.raises(LayoutError, match=r"torch does not give logits: .*found float32 of shape"):
        engine.run(bundle.text_encoder().batch(TEXTS))


def test_a_token_without_an_embedding_is_an_error_that_names_the_model(bundle: Bundle) -> None:
    batch = bundle.text_encoder().batch(["film"])
    batch.input_ids[0, 1] = 10_000

    with pytest.raises(LayoutError, match=r"cannot run .*torch on 3 tokens of ids up to 10000"):
        TorchEngine.load(bundle, "torch").run(batch)


@pytest.fixture(scope="module")
def pruned(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return pruned_bundle(bundle, tmp_path_factory.mktemp("pruned") / "bundle")


def test_a_pruned_bundle_answers_in_torch_as_in_onnx_runtime(
    bundle: Bundle, pruned: Bundle
) -> None:
    assert pruned.manifest.structure == Structure((1, 0), (4, 0))
    batch = pruned.text_encoder().batch(TEXTS)

    found = TorchEngine.load(pruned, "torch").run(batch)

    np.testing.assert_allclose(
        found, OnnxRuntimeEngine.load(pruned, "fp32").run(batch), rtol=0, atol=LIMIT
    )
    assert np.abs(found - TorchEngine.load(bundle, "torch").run(batch)).max() > 100 * LIMIT


def test_nothing_but_the_widths_of_a_pruned_bundle_tells_its_weights_apart(
    pruned: Bundle, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(pruned.path, tmp_path / "copy"))
    Bundle.write(path, replace(pruned.manifest, structure=None))

    with pytest.raises(LayoutError, match=r"a bert classifier: expected no missing"):
        TorchEngine.load(Bundle.open(path), "torch")


@pytest.mark.parametrize(
    ("structure", "words"),
    [
        (Structure((1,), (4,)), r"structure: expected 2 layers, the num_hidden_layers .*, found 1"),
        (Structure((1, 3), (4, 0)), r"heads\.1: expected at most 2, the num_attention_heads"),
        (Structure((1, 0), (10**12, 0)), r"neurons\.0: expected at most .*, the intermediate_size"),
        (Structure((1, 1), (4, 0)), r"query\.weight \(missing_keys\)"),
        (Structure((1, 0), (5, 0)), r"of the manifest's structure: .*\(mismatched_keys\)"),
        (Structure((0, 0), (4, 0)), r"query\.weight \(unexpected_keys\)"),
    ],
)
def test_a_structure_that_is_not_of_the_checkpoint_is_refused_by_name(
    pruned: Bundle, tmp_path: Path, structure: Structure, words: str
) -> None:
    path = Path(shutil.copytree(pruned.path, tmp_path / "copy"))
    Bundle.write(path, replace(pruned.manifest, structure=structure))

    with pytest.raises(LayoutError, match=words):
        TorchEngine.load(Bundle.open(path), "torch")


def test_sizes_that_only_a_structure_makes_small_are_refused(
    pruned: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(*_: object, **__: object) -> None:
        pytest.fail("a model was built")

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", allocate)
    path = Path(shutil.copytree(pruned.path, tmp_path / "copy"))
    copied = Bundle.open(path)
    change_config(copied, hidden_size=10**6)
    with pytest.raises(ModelError, match="hidden_size = 1000000 asks for about"):
        TorchEngine.load(Bundle.open(path), "torch")
    change_config(copied, hidden_size=16, intermediate_size=10**12)
    neurons = replace(copied.manifest, structure=Structure((1, 0), (10**12, 0)))
    Bundle.write(path, neurons)

    with pytest.raises(ModelError, match="intermediate_size = 1000000000000 asks for about"):
        TorchEngine.load(Bundle.open(path), "torch")


def test_the_width_before_pruning_needs_no_memory(pruned: Bundle, tmp_path: Path) -> None:
    path = Path(shutil.copytree(pruned.path, tmp_path / "copy"))
    change_config(Bundle.open(path), intermediate_size=10**12)

    found = TorchEngine.load(Bundle.open(path), "torch").run(pruned.text_encoder().batch(TEXTS))

    expected = TorchEngine.load(pruned, "torch").run(pruned.text_encoder().batch(TEXTS))
    np.testing.assert_array_equal(found, expected)


def test_a_model_is_compared_with_what_pruning_left_of_it(tmp_path: Path) -> None:
    """A stock model of this config has several times the weights."""
    model = make_model("bert", hidden_size=256, num_hidden_layers=12)
    resize(model, backbone_spec("bert"), [KeptWidths((), (1,))] * 12)
    model.save_pretrained(tmp_path)
    structure = Structure((0,) * 12, (1,) * 12)
    batch = TextEncoder(make_tokenizer(), max_length=20, pad_id=0).batch(TEXTS[:4])

    found = TorchEngine(tmp_path, structure=structure).run(batch)

    arrays = batch.select(["input_ids", "attention_mask", "token_type_ids"])
    with torch.inference_mode():
        expected = model(**{name: torch.from_numpy(each) for name, each in arrays.items()}).logits
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-5)
    with pytest.raises(ModelError, match="hidden_size = 256 asks for about"):
        TorchEngine(tmp_path)
