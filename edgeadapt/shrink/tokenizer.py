"""Remove word pieces from a tokenizer that can still encode the same texts.

Words whose pieces are all kept are split as before; others into smaller pieces. Single characters,
and pieces that single characters cannot spell, are always kept.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from edgeadapt.errors import ExportError, UsageError

__all__ = ["Trimmed", "trim"]

# Any, because tokenizer.json has a different structure for each kind of tokenizer. The tokenizers
# library validates the result, and the values are used only in this module.
_Json = dict[str, Any]

_MARKS = {"WordPiece": "##", "Unigram": "▁"}
"""Prefix of pieces: of those inside a word for WordPiece, at the start of a word for Unigram."""


@dataclass(frozen=True)
class Trimmed:
    """The smaller tokenizer."""

    tokenizer: Tokenizer
    rows: list[int]
    """The old id of each new id: the rows of the embeddings to keep, in order."""


def trim(tokenizer: Tokenizer, counts: Mapping[str, int], *, most: int | None) -> Trimmed:
    """Returns a copy of a tokenizer without the pieces that a task does not need.

    Args:
        tokenizer: A WordPiece, Unigram or byte-level BPE tokenizer.
        counts: Count of each piece in the task's texts.
        most: Number of pieces to keep; ``None`` keeps every piece that occurs.

    Raises:
        ExportError: The tokenizer is of another kind.
        UsageError: ``most`` is smaller than the number of pieces that are always kept.
    """
    files = json.loads(tokenizer.to_str())
    model = files["model"]
    kind, ids = model["type"], tokenizer.get_vocab(with_added_tokens=True)
    if kind not in ("WordPiece", "Unigram", "BPE") or len(set(ids.values())) != len(ids):
        raise ExportError(
            f"--trim-vocab: a {kind} tokenizer cannot be trimmed: expected WordPiece, Unigram or "
            "BPE.",
            hint="Leave --trim-vocab out.",
        )
    closed = _Pieces.of(kind, model)
    kept = set(closed.basis(set(ids), set(_needed(files)) & ids.keys()))
    least = len(kept)
    if most is not None and most < least:
        raise UsageError(
            f"--trim-vocab {most}: expected at least {least}, the special tokens, single "
            "characters and what they cannot spell."
        )
    # Pieces that do not occur are ranked by id, since vocabularies list common pieces first.
    wanted_pieces = ids if most is not None else ids.keys() & counts.keys()
    for piece in sorted(wanted_pieces, key=lambda piece: (-counts.get(piece, 0), ids[piece])):
        wanted = kept | set(closed.parts(piece))
        if most is not None and len(wanted) > most:
            break
        kept = wanted
    order = sorted(kept, key=ids.__getitem__)
    renumbered = {piece: number for number, piece in enumerate(order)}
    _rewrite(files, renumbered)
    return Trimmed(Tokenizer.from_str(json.dumps(files)), [ids[piece] for piece in order])


@dataclass(frozen=True)
class _Pieces:
    """How pieces of a tokenizer depend on each other."""

    mark: str
    parents: Mapping[str, tuple[str, str]]
    """For BPE: piece -> the two pieces that it is merged from; else empty."""

    @classmethod
    def of(cls, kind: str, model: _Json) -> "_Pieces":
        merges = [_pair(merge) for merge in model.get("merges", ())] if kind == "BPE" else []
        mark = model.get("continuing_subword_prefix") or _MARKS.get(kind, "")
        return cls(mark, {first + second: (first, second) for first, second in reversed(merges)})

    def basis(self, pieces: set[str], special: set[str]) -> Iterator[str]:
        """Yields the pieces to keep always: special, single characters, not spelled by these."""
        single = {piece for piece in pieces if len(piece.removeprefix(self.mark)) <= 1}
        yield from special | single
        if self.parents:
            return  # every other piece is merged from single ones
        for piece in pieces - special - single:
            if not set(self._letters(piece)) <= single:
                yield piece

    def parts(self, piece: str) -> Iterator[str]:
        """Yields a piece and, for BPE, all pieces that it is merged from."""
        yield piece
        for parent in self.parents.get(piece, ()):
            yield from self.parts(parent)

    def _letters(self, piece: str) -> Iterator[str]:
        """Yields the single-character pieces into which the tokenizer would split a piece."""
        if self.mark == _MARKS["Unigram"]:
            yield from piece
            return
        inside = piece.startswith(self.mark)
        for number, letter in enumerate(piece.removeprefix(self.mark)):
            yield f"{self.mark}{letter}" if inside or number else letter


def _needed(files: _Json) -> Iterator[str]:
    """Yields the special tokens; the unknown token may not be among the added tokens."""
    yield from (token["content"] for token in files["added_tokens"])
    model, processor = files["model"], files.get("post_processor")
    if model.get("unk_token") is not None:
        yield model["unk_token"]
    if model.get("unk_id") is not None:
        yield model["vocab"][model["unk_id"]][0]
    yield from _around(processor)


def _around(processor: _Json | None) -> Iterator[str]:
    """Yields the tokens that a post-processor adds around a text."""
    if processor is None:
        return
    for inner in processor.get("processors", ()):
        yield from _around(inner)
    for token in processor.get("special_tokens", {}).values():
        yield from token["tokens"]
    yield from (processor[name][0] for name in ("sep", "cls") if name in processor)


def _pair(merge: str | Collection[str]) -> tuple[str, str]:
    """Parses a merge, in the old form ``"a b"`` or the new form ``["a", "b"]``."""
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


def _rewrite(files: _Json, ids: Mapping[str, int]) -> None:
    """Removes all pieces without a new id from a ``tokenizer.json``, and renumbers the others."""
    model = files["model"]
    if model["type"] == "Unigram":
        kept = [pair for pair in model["vocab"] if pair[0] in ids]
        unknown = model["vocab"][model["unk_id"]][0] if model.get("unk_id") is not None else None
        model["vocab"] = sorted(kept, key=lambda pair: ids[pair[0]])
        model["unk_id"] = None if unknown is None else ids[unknown]
    else:
        model["vocab"] = {piece: ids[piece] for piece in model["vocab"] if piece in ids}
    if model["type"] == "BPE":
        pairs = [(merge, _pair(merge)) for merge in model["merges"]]
        model["merges"] = [merge for merge, (a, b) in pairs if {a, b, a + b} <= ids.keys()]
    for token in files["added_tokens"]:
        token["id"] = ids[token["content"]]
    _renumber(files.get("post_processor"), ids)


def _renumber(processor: _Json | None, ids: Mapping[str, int]) -> None:
    """Renumbers the special tokens in a post-processor."""
    if processor is None:
        return
    for inner in processor.get("processors", ()):
        _renumber(inner, ids)
    for token in processor.get("special_tokens", {}).values():
        token["ids"] = [ids[piece] for piece in token["tokens"]]
    for name in ("sep", "cls"):
        if name in processor:
            processor[name] = [processor[name][0], ids[processor[name][0]]]
