"""Equal rows of embeddings are stored once, and the logits are unchanged."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgeadapt.graph.shared_rows import share_rows
from edgeadapt.quantize.embeddings import quantize_embeddings
from tests.conftest import TINY_CONFIGS
from tests.graph.exported import (
    assert_same_answers,
    exported,
    operators,
    with_rows_alike,
    word_tables,
)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_the_answers_stay_the_same(tmp_path: Path, model_type: str) -> None:
    model = with_rows_alike(exported(tmp_path, model_type))

    assert_same_answers(model, share_rows(model), tmp_path)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_each_row_is_kept_once(tmp_path: Path, model_type: str) -> None:
    model = with_rows_alike(exported(tmp_path, model_type), every=4)

    before, after = words(model), words(share_rows(model))

    assert len(after) == len(np.unique(before, axis=0)) < len(before) / 2


def test_a_table_without_rows_alike_stays(tmp_path: Path) -> None:
    model = exported(tmp_path)

    assert len(operators(share_rows(model), "Gather")) == len(operators(model, "Gather"))


def test_a_few_rows_alike_are_not_worth_a_list(tmp_path: Path) -> None:
    model = exported(tmp_path)
    (table,) = word_tables(model)
    rows = numpy_helper.to_array(table).copy()
    rows[5] = rows[6]
    table.CopyFrom(numpy_helper.from_array(rows, table.name))

    assert len(words(share_rows(model))) == len(rows)


@pytest.mark.parametrize("bits", [8, 4])
def test_what_is_shared_is_quantized_too(tmp_path: Path, bits: int) -> None:
    model = share_rows(with_rows_alike(exported(tmp_path, hidden_size=32)))

    small = quantize_embeddings(model, bits=bits)

    tables = [each for each in word_tables(small) if len(each.dims) > 1]
    assert tables
    assert all(t.data_type != onnx.TensorProto.FLOAT or t.dims[1] == 1 for t in tables)


def words(model: onnx.ModelProto) -> np.ndarray:
    """The table of word pieces."""
    (table,) = (each for each in word_tables(model) if len(each.dims) == 2)
    return numpy_helper.to_array(table)
