"""Load a checkpoint's tokenizer files as the tokenizer of runs and bundles."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from edgeadapt.errors import ModelError
from edgeadapt.models.sources import ModelSource
from edgeadapt.models.tables import check_tables, padding_mismatch
from edgeadapt.models.tokenizer_settings import SENTENCEPIECE_FILES, own_files, settle
from edgeadapt.parsing import TOKENIZER_BYTES
from edgeadapt.progress import SILENT, Progress
from edgeadapt.runtime.torch_engine import quiet_transformers
from edgeadapt.store.files import read_json
from edgeadapt.text import TextEncoder, tokenizer_errors

__all__ = ["TokenizerFiles", "load_tokenizer", "stock_tokenizer"]

_KEPT_OPTIONS = (
    "do_lower_case", "strip_accents", "tokenize_chinese_chars", "add_prefix_space", "trim_offsets",
    "clean_up_tokenization_spaces", "model_input_names",
)  # fmt: skip
_VOCABULARY_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", *SENTENCEPIECE_FILES)
_CONVERTERS = {"sentencepiece": "sentencepiece", "google.protobuf": "protobuf"}
"""Module that transformers needs to convert a SentencePiece model -> package that has it."""


@dataclass(frozen=True)
class TokenizerFiles:
    """A tokenizer, and the settings files that other loaders need."""

    encoder: TextEncoder
    special_tokens: Mapping[str, str]
    """Content of special_tokens_map.json."""
    config: Mapping[str, object]
    """Content of tokenizer_config.json."""


def load_tokenizer(
    source: ModelSource, *, max_length: int, pairs: bool = False, progress: Progress = SILENT
) -> TokenizerFiles:
    """Loads a checkpoint's fast tokenizer, without its padding settings.

    Args:
        source: The checkpoint.
        max_length: Longest input in tokens.
        pairs: Whether the texts are pairs.
        progress: Receives warnings about settings that have no effect here.

    Raises:
        ModelError: There is no fast tokenizer, it has no padding token, it puts no special token
            between the texts of a pair, it produces ids that the model has no embeddings for, or
            its files contradict each other.
    """
    tokenizer = stock_tokenizer(source.folder)
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or tokenizer.pad_token_id is None:
        raise ModelError(
            f"{source.folder}: expected a fast tokenizer with a padding token, found a "
            f"{type(tokenizer).__name__}."
        )
    options = {
        key: tokenizer.init_kwargs[key] for key in _KEPT_OPTIONS if key in tokenizer.init_kwargs
    }
    options |= settle(tokenizer, source.folder, pairs=pairs)
    backend = tokenizer.backend_tokenizer
    # Stored in tokenizer.json, where the encoder and every other reader find the side.
    backend.enable_truncation(max_length, direction=tokenizer.truncation_side)
    if tokenizer.truncation_side != "right":
        options["truncation_side"] = tokenizer.truncation_side
    encoder = TextEncoder(
        backend, max_length=max_length, pad_id=tokenizer.pad_token_id, pairs=pairs
    )
    if pairs:
        _check_pairs(backend, source)
    # Taken from the file, not from the class: its default differs between transformers versions.
    inputs = options.get("model_input_names") or ["token_type_ids"]
    check_tables(encoder, source, segments="token_type_ids" in inputs)
    _warn(tokenizer, encoder, source, progress)
    # transformers.js and both Python loaders expect the class name without "Fast".
    name = type(tokenizer).__name__.removesuffix("Fast")
    special = {
        key: token for key, token in tokenizer.special_tokens_map.items() if isinstance(token, str)
    }
    return TokenizerFiles(
        encoder=encoder,
        special_tokens=special,
        config={
            "tokenizer_class": name,
            "model_max_length": max_length,
            **options,
            **_additional(tokenizer),
            **special,
        },
    )


def stock_tokenizer(folder: Path) -> Any:
    """Loads a tokenizer with transformers, reading no files outside the folder.

    Raises:
        ModelError: The folder has no tokenizer files, or transformers cannot read them.
    """
    if not any((folder / name).is_file() for name in _VOCABULARY_FILES):
        # transformers 5 would return a tokenizer with an empty vocabulary.
        raise ModelError(
            f"{folder} has no tokenizer: expected one of {', '.join(_VOCABULARY_FILES)}."
        )
    _check_whole(folder)
    _check_converters(folder)
    files = own_files(folder)
    with quiet_transformers(), tokenizer_errors(ModelError, f"{folder} has no usable tokenizer"):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **files)


def _check_whole(folder: Path) -> None:
    """Raises ``ModelError`` if a required part of the tokenizer is missing."""
    file = folder / "tokenizer.json"
    if file.is_file():
        content = read_json(file, limit=TOKENIZER_BYTES, refusal=ModelError)
        if not isinstance(content.get("model"), dict):
            raise ModelError(
                f'{file} is not a complete tokenizer: expected "model", an object with the '
                "vocabulary, found none.",
                hint="Save the tokenizer again, or download the file again.",
            )
        return
    others = ("vocab.txt", "merges.txt", *SENTENCEPIECE_FILES)
    if not any((folder / name).is_file() for name in others):
        raise ModelError(
            f"{folder} has no usable tokenizer: merges.txt is missing beside vocab.json.",
            hint=f"Copy merges.txt, or a tokenizer.json, into {folder}.",
        )


def _check_converters(folder: Path) -> None:
    """Raises ``ModelError`` if packages are missing that reading a SentencePiece model needs."""
    if any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt", "vocab.json")):
        return
    file = next(name for name in SENTENCEPIECE_FILES if (folder / name).is_file())
    missing = [package for module, package in _CONVERTERS.items() if not _is_installed(module)]
    if missing:
        raise ModelError(
            f"{folder}: the tokenizer is a SentencePiece model, {file}, without a tokenizer.json: "
            f"reading it needs the package {' and the package '.join(missing)}.",
            hint=f"Install it with: pip install {' '.join(missing)}",
        )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package is not installed
        return False


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


def _warn(
    tokenizer: PreTrainedTokenizerFast,
    encoder: TextEncoder,
    source: ModelSource,
    progress: Progress,
) -> None:
    """Warns of settings that are not applied, and of settings that look like a mistake."""
    if tokenizer.padding_side != "right":
        # Padding on the left shifts the positions of a text by the length of the longest text in
        # the batch, so that its logits would depend on the batch.
        progress.warn(
            f"{source.folder}: padding_side {tokenizer.padding_side!r} is replaced by 'right', so "
            "that a text has the same logits alone and in a batch."
        )
    if not encoder.tokenizer.num_special_tokens_to_add(encoder.pairs):
        progress.warn(
            f"{source.folder}: the tokenizer adds no special tokens: the head reads the first "
            "token of the text instead of [CLS]."
        )
    if mismatch := padding_mismatch(encoder, source):
        progress.warn(mismatch)


def _additional(tokenizer: PreTrainedTokenizerFast) -> dict[str, list[str]]:
    """Returns special tokens besides the named ones; transformers 5 renamed the attribute."""
    for name in ("additional_special_tokens", "extra_special_tokens"):
        tokens = getattr(tokenizer, name, None)
        if isinstance(tokens, list) and tokens:
            return {"additional_special_tokens": [str(token) for token in tokens]}
    return {}
