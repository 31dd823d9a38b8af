"""The export pipeline: every gate, and what a bundle holds."""

from edgeadapt.bundle import Bundle


def test_a_bundle_holds_three_variants_when_asked_for(tiny_bundle: Bundle) -> None:
    assert set(tiny_bundle.manifest.variants) == {"fp32", "int8", "torch"}
    tiny_bundle.verify()
