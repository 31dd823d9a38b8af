"""From a checkpoint's tokenizer files to the tokenizer of runs and bundles."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from edgeadapt.errors import ModelError
from edgeadapt.models.classifier import quiet_transformers
from edgeadapt.models.sources import ModelSource
from edgeadapt.text import TextEncoder

__all__ = ["TokenizerFiles", "load_tokenizer"]

_KEPT_OPTIONS = (
    "do_lower_case", "strip_accents", "tokenize_chinese_chars", "add_prefix_space", "trim_offsets",
    "model_input_names",
)  # fmt: skip
_VOCABULARY_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model")


@dataclass(frozen=True)
class TokenizerFiles:
    """A tokenizer, ready to encode, and what other loaders want to know of it."""

    encoder: TextEncoder
    special_tokens: Mapping[str, str]
    """Content of special_tokens_map.json."""
    config: Mapping[str, Any]
    """Content of tokenizer_config.json."""


def load_tokenizer(source: ModelSource, *, max_length: int, pairs: bool = False) -> TokenizerFiles:
    """Loads a checkpoint's fast tokenizer without its padding.

    Raises:
        ModelError: There is none, it has no padding token, or it cannot tell two texts apart.
    """
    if not any((source.folder / name).is_file() for name in _VOCABULARY_FILES):
        # transformers 5 would make an empty tokenizer of its own.
        raise ModelError(
            f"{source.folder} has no tokenizer: expected one of {', '.join(_VOCABULARY_FILES)}."
        )
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=False)
    except Exception as error:  # noqa: BLE001 - the tokenizers binding raises bare Exception
        raise ModelError(f"{source.folder} has no usable tokenizer: {error}") from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or tokenizer.pad_token_id is None:
        raise ModelError(
            f"{source.folder}: expected a fast tokenizer with a padding token, found a "
            f"{type(tokenizer).__name__}."
        )
    if pairs:
        _check_pairs(tokenizer.backend_tokenizer, source)
    # transformers.js and both Python loaders know the class by its name without "Fast".
    name = type(tokenizer).__name__.removesuffix("Fast")
    special = {
        key: token for key, token in tokenizer.special_tokens_map.items() if isinstance(token, str)
    }
    options = {
        key: tokenizer.init_kwargs[key] for key in _KEPT_OPTIONS if key in tokenizer.init_kwargs
    }
    return TokenizerFiles(
        encoder=TextEncoder(
            tokenizer.backend_tokenizer,
            max_length=max_length,
            pad_id=tokenizer.pad_token_id,
            pairs=pairs,
        ),
        special_tokens=special,
        config={
            "tokenizer_class": name,
            "model_max_length": max_length,
            **options,
            **special,
        },
    )


def _check_pairs(tokenizer: Tokenizer, source: ModelSource) -> None:
    """Raises ``ModelError`` unless a pair gets a special token between its texts."""
    single, pair = (tokenizer.num_special_tokens_to_add(is_pair) for is_pair in (False, True))
    if pair <= single:
        raise ModelError(
            f"{source.folder}: the tokenizer has no template for pairs of texts: expected more "
            f"than the {single} special tokens of a single text, found {pair}.",
            hint="Give its tokenizer.json a post-processor with a pair template, such as "
            '"[CLS] $A [SEP] $B:1 [SEP]:1", or use another --model.',
        )
