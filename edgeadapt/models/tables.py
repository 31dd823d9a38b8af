"""Check that a model has an embedding for every id that its tokenizer produces."""

from collections.abc import Sequence

from edgeadapt.errors import ModelError
from edgeadapt.models.sources import ModelSource
from edgeadapt.text import Text, TextEncoder

__all__ = ["check_tables", "padding_mismatch"]


def check_tables(encoder: TextEncoder, source: ModelSource, *, segments: bool) -> None:
    """Checks token ids and segment ids against the sizes of the embedding tables.

    Positions need no check: ``ModelSource.max_length`` keeps texts within their table.

    Args:
        encoder: The checkpoint's tokenizer.
        source: The checkpoint.
        segments: Whether the tokenizer's settings list segment ids among the model's inputs.

    Raises:
        ModelError: An id has no embedding, or segment ids would be dropped.
    """
    _check_words(encoder, source)
    _check_segments(encoder, source, segments=segments)


def padding_mismatch(encoder: TextEncoder, source: ModelSource) -> str | None:
    """Returns a warning if the model and the tokenizer use different padding ids.

    RoBERTa-like models skip padding tokens when they number positions.
    """
    if not source.spec.position_offset:
        return None
    padding = source.first_position() - 1
    if padding == encoder.pad_id:
        return None
    token = encoder.tokenizer.id_to_token(padding)
    return (
        f"{source.folder}: the model treats token {padding} ({token!r}) as padding when it numbers "
        f"positions, and the tokenizer pads with {encoder.pad_id}: each {token!r} in a text shifts "
        "the positions after it."
    )


def _check_words(encoder: TextEncoder, source: ModelSource) -> None:
    rows = source.number("vocab_size") or 0
    vocabulary = encoder.tokenizer.get_vocab(with_added_tokens=True)
    beyond = {number: repr(piece) for piece, number in vocabulary.items() if number >= rows}
    ids, _ = _around(encoder)
    beyond |= {number: "in its post-processor" for number in ids if number >= rows} | beyond
    if beyond:
        shown = ", ".join(f"{number} ({beyond[number]})" for number in sorted(beyond)[:3])
        raise ModelError(
            f"{source.folder}: the tokenizer gives {len(beyond)} ids that the model has no "
            f"embedding for: expected ids below {rows}, its vocab_size, found {shown}.",
            hint="After tokens are added, the model has to be resized: "
            "model.resize_token_embeddings(len(tokenizer)), and both saved again.",
        )


def _check_segments(encoder: TextEncoder, source: ModelSource, *, segments: bool) -> None:
    given, taken = max(_around(encoder)[1], default=0), source.spec.token_type_ids
    rows, usual_rows = source.number("type_vocab_size"), source.default("type_vocab_size")
    kinds = "pairs of texts" if encoder.pairs else "texts"
    where = f"{source.folder}: the tokenizer gives {kinds} the segment id {given}"
    # A model without segment ids as input looks up segment 0. DeBERTa alone has no table if
    # type_vocab_size is 0, its default.
    used = given if taken else 0
    if rows is not None and (rows or usual_rows) and used >= rows:
        raise ModelError(
            f"{where if taken else f'{source.folder}: the model looks up segment 0'}: expected ids "
            f"below {rows}, the model's type_vocab_size.",
            hint="Give its tokenizer.json a post-processor without segments, such as "
            '"[CLS] $A [SEP] $B [SEP]", or use another --model.',
        )
    if given and taken and not segments:
        raise ModelError(
            f"{where}, and its model_input_names leaves token_type_ids out.",
            hint="Add token_type_ids to model_input_names in tokenizer_config.json if the model "
            "was trained with them; else give tokenizer.json a post-processor without segments.",
        )
    if given and segments and not usual_rows and rows and rows > 1:
        raise ModelError(
            f"{where}, and edgeadapt gives {source.spec.model_type} models no segment ids: "
            f"expected a type_vocab_size of 0, found {rows}.",
            hint="Use another --model.",
        )


def _around(encoder: TextEncoder) -> tuple[Sequence[int], Sequence[int]]:
    """Returns the ids of the special tokens, and the segment ids of a short text or pair."""
    empty: Text = ("", "") if encoder.pairs else ""
    short: Text = ("a", "a") if encoder.pairs else "a"
    bare, filled = encoder.encode([empty, short])
    return bare.ids, filled.type_ids
