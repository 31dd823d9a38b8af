"""Declared sizes, compared with what the weights of a pruned model can hold."""

from types import SimpleNamespace

import pytest

from edgeadapt.backbones import backbone_spec
from edgeadapt.errors import ModelError
from edgeadapt.store.sizes import check_declared_sizes
from edgeadapt.store.structure import Structure

BASE = SimpleNamespace(
    hidden_size=768,
    num_hidden_layers=12,
    num_attention_heads=12,
    intermediate_size=3072,
    vocab_size=1_000,
)
SMALL = Structure(heads=(3,) * 12, neurons=(128,) * 12)
LEFT = 12 * (3 * 64 * 768 * 4 + 128 * 768 * 2) + 1_000 * 768


def test_the_sizes_of_a_pruned_model_are_those_of_its_structure() -> None:
    spec = backbone_spec("bert")

    check_declared_sizes(BASE, spec, LEFT, where="config.json", structure=SMALL)

    with pytest.raises(ModelError, match="intermediate_size = 3072 asks for about 56,623,104"):
        check_declared_sizes(BASE, spec, LEFT, where="config.json")


@pytest.mark.parametrize(
    ("structure", "key"),
    [
        (Structure((3,) * 12, (10**9,) * 12), "intermediate_size"),
        (Structure((10**7,) * 12, (128,) * 12), "hidden_size"),
    ],
)
def test_a_structure_far_beyond_the_weights_is_refused(structure: Structure, key: str) -> None:
    with pytest.raises(ModelError, match=f"{key} = .* asks for about"):
        check_declared_sizes(
            BASE, backbone_spec("bert"), LEFT, where="config.json", structure=structure
        )
