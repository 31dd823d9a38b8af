"""Small classifiers with their tokenizer and some labelled texts, to remove parts of."""

import numpy as np

from edgeadapt.compress.costs import LayerCosts, WidthCosts
from edgeadapt.data import Examples
from edgeadapt.models.merge import Merged
from edgeadapt.models.text_model import TextModel
from edgeadapt.text import TextEncoder
from tests.conftest import make_tokenizer, review
from tests.models.tiny import make_model

__all__ = ["HEADS", "NEURONS", "costs", "examples", "text_model"]

HEADS, NEURONS = 4, 96
_KEYS = {
    "distilbert": {"n_heads": HEADS, "hidden_dim": NEURONS, "n_layers": 3},
}
_USUAL = {"num_attention_heads": HEADS, "intermediate_size": NEURONS, "num_hidden_layers": 3}


def text_model(model_type: str = "bert", **config: object) -> TextModel:
    """A classifier of three layers with four heads and 96 neurons each."""
    model = make_model(model_type, **(_KEYS.get(model_type, _USUAL) | config))
    encoder = TextEncoder(make_tokenizer(), max_length=32, pad_id=0)
    return TextModel(Merged(model, model, (), 0), encoder)


def examples(count: int = 40) -> Examples:
    """Labelled texts."""
    texts, labels = zip(*(review(number) for number in range(count)), strict=True)
    return Examples(texts, np.array([label == "positive" for label in labels], dtype=np.int64))


def costs(*, attention_ms: float = 0.1, ffn_ms: float = 0.1) -> LayerCosts:
    """A head costs 1 ms and a neuron 0.05 ms, in the last layer a tenth of that."""
    return LayerCosts(
        tokens=64,
        threads=1,
        attention=WidthCosts((0, 1, HEADS), (0, attention_ms + 1, attention_ms + HEADS)),
        ffn=WidthCosts((0, 32, NEURONS), (0, ffn_ms + 1.6, ffn_ms + 4.8)),
        last_attention=WidthCosts((1, HEADS), (0, 0.1 * (HEADS - 1))),
        last_ffn=WidthCosts((0, 32, NEURONS), (0, 0.16, 0.48)),
        rest_ms=1.0,
        head_weights=256,
        neuron_weights=32,
        large=WidthCosts((0, 10_000), (0, 0)),
    )
