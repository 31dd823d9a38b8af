"""What can be done with the bundle of a pruned model."""

from pathlib import Path

import numpy as np
import pytest

import edgeadapt
from edgeadapt.pipeline.export_bundle import export_bundle
from edgeadapt.quantize.options import Quantization
from edgeadapt.recipe import EngineName, Scheme
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.structure import Structure
from tests.pruned import pruned_bundle

pytestmark = pytest.mark.usefixtures("steady")

TEXTS = ["film", "the film was great", "we never liked the cold soup and the dull staff"]


@pytest.fixture(scope="module")
def pruned(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return pruned_bundle(bundle, tmp_path_factory.mktemp("pruned") / "bundle")


def logits_of(bundle: Bundle, variant: str) -> np.ndarray:
    return text_logits(load_engine(bundle, variant), bundle.text_encoder(), TEXTS)


@pytest.mark.parametrize(
    "asked",
    [
        Quantization((Scheme.DYNAMIC_INT8,)),
        Quantization((Scheme.STATIC_INT8,)),
        Quantization(engine=EngineName.OPENVINO),
    ],
    ids=["dynamic", "static", "openvino"],
)
def test_its_scheme_is_chosen_again_and_its_structure_kept(
    pruned: Bundle, tmp_path: Path, asked: Quantization
) -> None:
    found = export_bundle(pruned, asked=asked, max_drop=1.0, output=tmp_path / "again")

    assert found.manifest.structure == Structure((1, 0), (4, 0))
    expected = logits_of(pruned, "fp32")
    assert 0 < np.abs(logits_of(found, "int8") - expected).max() < 0.1
    np.testing.assert_allclose(logits_of(found, "torch"), expected, rtol=0, atol=1e-4)


def test_it_classifies_as_any_bundle_does(pruned: Bundle) -> None:
    found = edgeadapt.load(pruned.path, variant="fp32").predict(TEXTS)

    highest = logits_of(pruned, "fp32").argmax(axis=1)
    assert [one.label for one in found] == [pruned.manifest.labels[row] for row in highest]
