"""Keep a tokenizer's settings as in its files, and refuse files that contradict each other.

``tokenizer.json`` is the tokenizer itself; ``tokenizer_config.json`` holds arguments of the
transformers class that wraps it. For an argument that is left out the class uses its own default,
and some classes then overwrite a part of ``tokenizer.json`` with it (BERT's class lower-cases a
cased tokenizer). Here ``tokenizer.json`` takes precedence, and an argument that contradicts it is
an error.
"""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordLevel, WordPiece
from transformers import PreTrainedTokenizerFast

from edgeadapt.errors import ModelError
from edgeadapt.store.files import read_json
from edgeadapt.text import tokenizer_errors

__all__ = ["SENTENCEPIECE_FILES", "own_files", "settle"]

# Settings of tokenizers: keys and types depend on the class and on who wrote the file, and the
# library that reads them checks them.
_Settings = Mapping[str, Any]

SENTENCEPIECE_FILES = (
    "sentencepiece.bpe.model",
    "spm.model",
    "spiece.model",
    "tokenizer.model",
)
_FILE_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "tokenizer_file": ("tokenizer.json",),
        "vocab_file": ("vocab.txt", "vocab.json", *SENTENCEPIECE_FILES),
        "merges_file": ("merges.txt",),
        "spm_file": SENTENCEPIECE_FILES,
        "special_tokens_map_file": ("special_tokens_map.json",),
        "added_tokens_file": ("added_tokens.json",),
    }
)
"""Argument that names a file -> possible names of that file in a checkpoint."""
_ARGUMENT_FILES = ("tokenizer_config.json", "special_tokens_map.json")
"""Files whose keys transformers passes to the tokenizer's class as arguments."""

_PARTS = ("normalizer", "pre_tokenizer", "post_processor")
"""Parts of a tokenizer.json, besides the vocabulary, that determine the tokens."""
_CASED = 0.01
"""A vocabulary with more than this share of capitalized pieces counts as cased."""
_CAPITALIZED_MARKS = ("[", "<")
"""First characters of special tokens such as [UNK], which are capitalized in any vocabulary."""


def settle(
    tokenizer: PreTrainedTokenizerFast, folder: Path, *, pairs: bool
) -> dict[str, bool | None]:
    """Restores the parts of a loaded tokenizer that differ from its tokenizer.json.

    Args:
        tokenizer: As loaded by transformers; changed in place.
        folder: The folder that it was loaded from.
        pairs: Whether the texts are pairs.

    Returns:
        The arguments of tokenizer_config.json with which transformers loads the same tokenizer.

    Raises:
        ModelError: The files contradict each other, or hold a setting that bundles cannot keep.
    """
    stated = _stated(folder)
    backend, file = tokenizer.backend_tokenizer, folder / "tokenizer.json"
    if file.is_file():
        with tokenizer_errors(ModelError, f"{file} is not a tokenizer"):
            own = Tokenizer.from_file(str(file))
        backend.model = own.model  # transformers 5 builds a new one from the vocabulary
        loaded_parts, own_parts = _parts(backend), _parts(own)
        for part in _PARTS:
            if loaded_parts[part] != own_parts[part]:
                setattr(backend, part, getattr(own, part))
    taken = _taken(type(tokenizer))
    actual = {key: probe(backend) for key, probe in _PROBES.items() if key in taken}
    for key, value in actual.items():
        setting = stated.get(key)
        if isinstance(setting, bool) and value is not None and setting != value:
            raise ModelError(
                f"{folder / 'tokenizer_config.json'}: {key} is {_json(setting)}, and "
                f"tokenizer.json does the opposite: expected {_json(value)}.",
                hint=f"Set {key} to {_json(value)}, or make tokenizer.json again from the "
                "vocabulary: the model was trained with one of the two.",
            )
    _check_kept(tokenizer, stated, folder, pairs=pairs)
    _check_unknown(backend, folder)
    if "do_lower_case" not in stated and not file.is_file():
        _check_case(backend, folder)
    options: dict[str, bool | None] = {
        key: value for key, value in actual.items() if value is not None and value != taken[key]
    }
    if "strip_accents" in options and options["strip_accents"] == actual["do_lower_case"]:
        options["strip_accents"] = None  # None means: the same as do_lower_case
    return options


def own_files(folder: Path) -> dict[str, str | None]:
    """Returns the folder's own file for each argument in its settings that names a file.

    transformers opens the file that such an argument names, even outside the folder, instead of the
    folder's own. Old versions saved the paths of their cache there.

    Returns:
        Argument -> path, to be passed to ``from_pretrained``, where it overrides the settings;
        ``None`` if the folder has no such file and does not need it beside its tokenizer.json.

    Raises:
        ModelError: A setting names a file that the tokenizer needs and the folder does not have.
    """
    files: dict[str, str | None] = {}
    is_whole = (folder / "tokenizer.json").is_file()
    for name in _ARGUMENT_FILES:
        file = folder / name
        stated = read_json(file, refusal=ModelError) if file.is_file() else {}
        for key, value in stated.items():
            if not key.endswith("_file"):
                continue
            names = _FILE_KEYS.get(key, ())
            own = next((candidate for candidate in names if (folder / candidate).is_file()), None)
            if value is not None:
                _check_named(file, key, value, own, is_whole=is_whole)
            if own is not None:
                files[key] = str(folder / own)
            elif value is not None:
                files[key] = None  # overrides the setting, so that the named file is not opened
    return files


def _check_named(file: Path, key: str, value: object, own: str | None, *, is_whole: bool) -> None:
    """Raises ``ModelError`` unless the folder's own files can replace the file that is named.

    A complete tokenizer.json replaces any file, unless another file that the folder has is named.
    """
    is_name = isinstance(value, str) and Path(value).name == value
    is_another_here = is_name and value != own and (file.parent / str(value)).is_file()
    if not is_another_here and (is_whole or (own is not None and isinstance(value, str))):
        return
    expected = f'"{own}"' if own else " or ".join(_FILE_KEYS.get(key, ())) or "it not to be set"
    raise ModelError(
        f"{file}: {key} is {_json(value)}: expected {expected}"
        f"{' in this folder' if key in _FILE_KEYS else ''}. Files outside the folder are not read.",
        hint=f"Copy the file into {file.parent} under that name, or remove {key} if the "
        "tokenizer needs no such file."
        if key in _FILE_KEYS
        else f"Remove {key}.",
    )


def _stated(folder: Path) -> _Settings:
    """Returns the content of tokenizer_config.json; empty if there is none."""
    file = folder / "tokenizer_config.json"
    if not file.is_file():
        return {}
    return read_json(file, refusal=ModelError)


def _taken(kind: type[PreTrainedTokenizerFast]) -> _Settings:
    """Returns argument -> default value of a tokenizer's class."""
    parameters = inspect.signature(kind.__init__).parameters
    return {"add_prefix_space": False} | {n: arg.default for n, arg in parameters.items()}


def _parts(tokenizer: Tokenizer) -> _Settings:
    content = json.loads(tokenizer.to_str())
    return {part: content[part] for part in _PARTS}


def _json(value: object) -> str:
    return json.dumps(value)


# Probes: what a tokenizer does is found by running it on a text, because the same behavior can come
# from different kinds of normalizers.


def _normalized(tokenizer: Tokenizer, text: str) -> str:
    return text if tokenizer.normalizer is None else str(tokenizer.normalizer.normalize_str(text))


def _lowers(tokenizer: Tokenizer) -> bool:
    return "a" in _normalized(tokenizer, "A")


def _strips_accents(tokenizer: Tokenizer) -> bool:
    return not set(_normalized(tokenizer, "é")) & {"é", "\u0301"}


def _spaces_chinese(tokenizer: Tokenizer) -> bool:
    return _normalized(tokenizer, "a中a").count(" ") == 2


def _prefixes_space(tokenizer: Tokenizer) -> bool | None:
    state = json.loads(tokenizer.to_str())["pre_tokenizer"] or {}
    prefixes: bool | None = state.get("add_prefix_space")
    return prefixes


_PROBES: Mapping[str, Callable[[Tokenizer], bool | None]] = MappingProxyType(
    {
        "do_lower_case": _lowers,
        "strip_accents": _strips_accents,
        "tokenize_chinese_chars": _spaces_chinese,
        "add_prefix_space": _prefixes_space,
    }
)
"""Argument of tokenizer_config.json -> a function that returns the tokenizer's actual behavior,
``None`` if the tokenizer has no such part."""


def _check_kept(
    tokenizer: PreTrainedTokenizerFast, stated: _Settings, folder: Path, *, pairs: bool
) -> None:
    """Raises ``ModelError`` for settings that change the tokens and that a bundle cannot hold."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    for where, key, found in _unkept(content, stated, tokenizer.init_kwargs, pairs=pairs):
        raise ModelError(
            f"{folder / where}: {key} is {_json(found)}: expected it not to be set. It changes the "
            "tokens, and bundles cannot hold it.",
            hint="Remove it if the model was trained without it, or use another --model.",
        )


def _unkept(
    content: _Settings, stated: _Settings, used: _Settings, *, pairs: bool
) -> Iterator[tuple[str, str, object]]:
    """Yields file, key and value of each such setting."""
    if stated.get("split_special_tokens"):
        yield "tokenizer_config.json", "split_special_tokens", True
    if content["model"].get("dropout"):
        yield "tokenizer.json", "model.dropout", content["model"]["dropout"]
    strategy = used.get("truncation_strategy", "longest_first")
    if pairs and strategy in ("only_first", "only_second"):
        # Bundles support only longest_first, which cuts the longer text of a pair.
        where = "tokenizer_config.json" if "truncation_strategy" in stated else "tokenizer.json"
        yield where, "truncation_strategy", strategy


def _check_unknown(tokenizer: Tokenizer, folder: Path) -> None:
    """Raises ``ModelError`` if words outside the vocabulary could not be encoded."""
    model = tokenizer.model
    # Byte-pair encoding needs no unknown token: it drops such words or encodes their bytes.
    if isinstance(model, WordPiece | WordLevel) and model.token_to_id(model.unk_token) is None:
        raise ModelError(
            f"{folder}: the vocabulary has no {model.unk_token!r}, the token for words that are "
            "not in it: expected it among the word pieces."
        )


def _check_case(tokenizer: Tokenizer, folder: Path) -> None:
    """Raises ``ModelError`` if a cased vocabulary would be used with lower-cased texts."""
    pieces = [piece for piece in tokenizer.get_vocab() if not piece.startswith(_CAPITALIZED_MARKS)]
    cased = [piece for piece in pieces if piece != piece.lower()]
    if _lowers(tokenizer) and len(cased) > _CASED * len(pieces):
        shown = ", ".join(repr(piece) for piece in sorted(cased)[:3])
        raise ModelError(
            f"{folder}: {len(cased):,} of {len(pieces):,} word pieces have capital letters, such "
            f"as {shown}, and no setting says whether texts are lower-cased: expected "
            "do_lower_case in tokenizer_config.json.",
            hint='For a cased model, write {"do_lower_case": false} to '
            f"{folder / 'tokenizer_config.json'}.",
        )
