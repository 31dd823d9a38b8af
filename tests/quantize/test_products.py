"""Which products have weights, and Gemm written as MatMul."""

import numpy as np

from edgeadapt.quantize.products import Product, products, without_gemm
from tests.quantize.graphs import INNER, LABELS, WIDTH, WORDS, classifier_graph, logits_of


def test_products_come_in_the_order_of_computing_the_head_last() -> None:
    assert products(classifier_graph()) == [
        Product("/first", "MatMul", WIDTH * INNER),
        Product("/second", "MatMul", INNER * WIDTH),
        Product("/head", "Gemm", WIDTH * LABELS),
    ]


def test_a_gemm_becomes_a_product_and_a_sum_of_the_same_name_and_answers() -> None:
    model = classifier_graph()
    ids = np.random.default_rng(0).integers(0, WORDS, (2, 7))

    plain = without_gemm(model)

    assert [each.node for each in products(plain)] == ["/first", "/second", "/head"]
    assert "Gemm" not in {node.op_type for node in plain.graph.node}
    np.testing.assert_allclose(logits_of(plain, ids), logits_of(model, ids), atol=1e-6)


def test_a_gemm_that_scales_stays_one() -> None:
    model = classifier_graph()
    (gemm,) = [node for node in model.graph.node if node.op_type == "Gemm"]
    gemm.attribute.add(name="alpha", f=0.5, type=1)

    assert "Gemm" in {node.op_type for node in without_gemm(model).graph.node}
