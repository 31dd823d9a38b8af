"""What a tokenizer's files say of its tokens: kept, or refused where they contradict each other.

``tokenizer.json`` is the tokenizer itself; ``tokenizer_config.json`` holds arguments of the
transformers class around it. Where an argument is left out the class uses its own default, which
some classes then write over what ``tokenizer.json`` says (BERT's lower-cases a cased tokenizer).
Here the file's word stands, and an argument that says otherwise is an error.
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
"""Argument that names a file -> what a checkpoint's own file of this kind is called."""
_ARGUMENT_FILES = ("tokenizer_config.json", "special_tokens_map.json")
"""Files whose keys transformers hands to the tokenizer's class as arguments."""

_PARTS = ("normalizer", "pre_tokenizer", "post_processor")
"""Parts of a tokenizer.json that decide the tokens, besides its vocabulary."""
_CASED = 0.01
"""Share of pieces with capital letters from which a vocabulary is a cased one."""
_CAPITALIZED_MARKS = ("[", "<")
"""How special tokens, such as [UNK], begin: their capital letters say nothing of the text."""


def settle(
    tokenizer: PreTrainedTokenizerFast, folder: Path, *, pairs: bool
) -> dict[str, bool | None]:
    """Gives a loaded tokenizer back what its tokenizer.json says.

    Args:
        tokenizer: As transformers loaded it; changed in place.
        folder: Where it was loaded from.
        pairs: Whether the texts are pairs.

    Returns:
        The arguments of tokenizer_config.json with which transformers makes the same tokenizer.

    Raises:
        ModelError: The files contradict each other, or ask for what cannot be kept.
    """
    stated = _stated(folder)
    backend, file = tokenizer.backend_tokenizer, folder / "tokenizer.json"
    if file.is_file():
        with tokenizer_errors(ModelError, f"{file} is not a tokenizer"):
            own = Tokenizer.from_file(str(file))
        backend.model = own.model  # transformers 5 makes its own of the vocabulary
        loaded_parts, own_parts = _parts(backend), _parts(own)
        for part in _PARTS:
            if loaded_parts[part] != own_parts[part]:
                setattr(backend, part, getattr(own, part))
    taken = _taken(type(tokenizer))
    found = {key: probe(backend) for key, probe in _PROBES.items() if key in taken}
    for key, value in found.items():
        said = stated.get(key)
        if isinstance(said, bool) and value is not None and said != value:
            raise ModelError(
                f"{folder / 'tokenizer_config.json'}: {key} is {_json(said)}, and tokenizer.json "
                f"does the opposite: expected {_json(value)}.",
                hint=f"Set {key} to {_json(value)}, or make tokenizer.json anew from the "
                "vocabulary: the model was trained with one of the two.",
            )
    _check_kept(tokenizer, stated, folder, pairs=pairs)
    _check_unknown(backend, folder)
    if "do_lower_case" not in stated and not file.is_file():
        _check_case(backend, folder)
    options: dict[str, bool | None] = {
        key: value for key, value in found.items() if value is not None and value != taken[key]
    }
    if "strip_accents" in options and options["strip_accents"] == found["do_lower_case"]:
        options["strip_accents"] = None  # follows do_lower_case
    return options


def own_files(folder: Path) -> dict[str, str | None]:
    """Returns the folder's own files for each argument in which its settings name a file.

    transformers opens what such an argument names, wherever that is, in place of the folder's
    own file. Old versions saved the paths of their cache there.

    Returns:
        Argument -> path, to be passed to ``from_pretrained``, where it goes before the settings;
        ``None`` where the folder has no such file, and needs none beside its tokenizer.json.

    Raises:
        ModelError: A file is named that the folder does not have, and needs.
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
            own = next((each for each in names if (folder / each).is_file()), None)
            if value is not None:
                _check_named(file, key, value, own, is_whole=is_whole)
            if own is not None:
                files[key] = str(folder / own)
            elif value is not None:
                files[key] = None  # so that what is named is not opened
    return files


def _check_named(file: Path, key: str, value: object, own: str | None, *, is_whole: bool) -> None:
    """Raises ``ModelError`` unless the folder's own files can stand for the one that is named.

    A whole tokenizer.json can stand for all, unless another file of the folder is named.
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
    """The content of tokenizer_config.json; nothing where there is none."""
    file = folder / "tokenizer_config.json"
    if not file.is_file():
        return {}
    return read_json(file, refusal=ModelError)


def _taken(kind: type[PreTrainedTokenizerFast]) -> _Settings:
    """Arguments of a tokenizer's class -> their defaults."""
    parameters = inspect.signature(kind.__init__).parameters.values()
    return {"add_prefix_space": False} | {each.name: each.default for each in parameters}


def _parts(tokenizer: Tokenizer) -> _Settings:
    content = json.loads(tokenizer.to_str())
    return {part: content[part] for part in _PARTS}


def _json(value: object) -> str:
    return json.dumps(value)


# What a tokenizer does, found by trying it: normalizers of different kinds do the same.


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
    found: bool | None = state.get("add_prefix_space")
    return found


_PROBES: Mapping[str, Callable[[Tokenizer], bool | None]] = MappingProxyType(
    {
        "do_lower_case": _lowers,
        "strip_accents": _strips_accents,
        "tokenize_chinese_chars": _spaces_chinese,
        "add_prefix_space": _prefixes_space,
    }
)
"""Argument of tokenizer_config.json -> what a tokenizer does, ``None`` without such a part."""


def _check_kept(
    tokenizer: PreTrainedTokenizerFast, stated: _Settings, folder: Path, *, pairs: bool
) -> None:
    """Raises ``ModelError`` for settings that change the tokens and that no bundle can carry."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    for where, key, found in _unkept(content, stated, tokenizer.init_kwargs, pairs=pairs):
        raise ModelError(
            f"{folder / where}: {key} is {_json(found)}: expected it not to be set. It changes the "
            "tokens, and bundles cannot carry it.",
            hint="Remove it if the model was trained without it, or use another --model.",
        )


def _unkept(
    content: _Settings, stated: _Settings, used: _Settings, *, pairs: bool
) -> Iterator[tuple[str, str, object]]:
    """File, key and value of each such setting."""
    if stated.get("split_special_tokens"):
        yield "tokenizer_config.json", "split_special_tokens", True
    if content["model"].get("dropout"):
        yield "tokenizer.json", "model.dropout", content["model"]["dropout"]
    strategy = used.get("truncation_strategy", "longest_first")
    if pairs and strategy in ("only_first", "only_second"):
        # Of a pair, the longer text is cut first.
        where = "tokenizer_config.json" if "truncation_strategy" in stated else "tokenizer.json"
        yield where, "truncation_strategy", strategy


def _check_unknown(tokenizer: Tokenizer, folder: Path) -> None:
    """Raises ``ModelError`` where a word that is not in the vocabulary could not be encoded."""
    model = tokenizer.model
    # Byte-pair encoding leaves such words out instead, or spells them in bytes.
    if isinstance(model, WordPiece | WordLevel) and model.token_to_id(model.unk_token) is None:
        raise ModelError(
            f"{folder}: the vocabulary has no {model.unk_token!r}, the token for words that are "
            "not in it: expected it among the word pieces."
        )


def _check_case(tokenizer: Tokenizer, folder: Path) -> None:
    """Raises ``ModelError`` where pieces have capitals, and texts are lower-cased by default."""
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
