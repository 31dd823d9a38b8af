"""AdapterHub's format: a folder with ``adapter_config.json``, the weights, and possibly a head.

Pfeiffer et al. 2020, AdapterHub (arXiv 2007.07779); Poth et al. 2023, Adapters (2311.11077).
``seq_bn`` is ``sequential`` with ``original_ln_before``, ``double_seq_bn`` is ``houlsby``, and
``par_bn`` is ``parallel``.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from edgeadapt.backbones import BackboneSpec
from edgeadapt.errors import ModelError
from edgeadapt.interop.adapterhub_config import (
    Backbone,
    from_options,
    options_of,
    to_options,
)
from edgeadapt.interop.adapterhub_head import WrittenHead, read_head
from edgeadapt.interop.adapterhub_keys import (
    check_reading,
    entries,
    in_todays_words,
    layout_of,
    named,
    placement_of,
)
from edgeadapt.interop.base import ForeignAdapter
from edgeadapt.interop.files import check_tensors, read_tensors, refused, write_tensors
from edgeadapt.interop.heads import agreed_labels
from edgeadapt.interop.identity import Identity
from edgeadapt.interop.layers import hidden_size, setting, stored_layers
from edgeadapt.store.files import read_json, write_json
from edgeadapt.store.folders import staged_folder

__all__ = ["read", "write"]

CONFIG, SAFE, PICKLED = "adapter_config.json", "adapter.safetensors", "pytorch_adapter.bin"
_VERSION = "adapters.1.3.0"
"""Format version to write. The library interprets activations differently in files without one."""


def read(
    folder: Path,
    *,
    spec: BackboneSpec,
    config: Mapping[str, object],
    base_head: Mapping[str, Tensor] | None = None,
) -> ForeignAdapter:
    """Reads an adapter, and its head if there is one; ``base_head`` is not used.

    Raises:
        ModelError: edgeadapt does not support the adapter, or it does not fit the backbone.
        LayoutError: A file is missing or damaged.
    """
    layout, where = layout_of(spec, folder), folder / CONFIG
    file = read_json(where)
    name = _check_backbone(file, spec=spec, config=config, where=where)
    path, stored = read_tensors(folder, safe=SAFE, pickled=PICKLED)
    tensors = in_todays_words(stored, spec, path)
    invertible = any("invertible_adapters." in key for key in tensors)
    options = options_of(file, where=where, invertible=invertible)
    adapter = from_options(options, _backbone(spec, config), where=where)
    check_reading(adapter, layout, where=where)
    expected = list(entries(adapter, layout, spec=spec, config=config))
    keys = {entry.key(name): entry.foreign_shape for entry in expected}
    check_tensors(tensors, keys, where=path)
    head, labels = read_head(folder, spec=spec, config=config)
    identity = Identity.load(folder)
    return ForeignAdapter(
        config=adapter,
        tensors={entry.name: tensors[entry.key(name)].reshape(entry.shape) for entry in expected},
        head=head,
        labels=agreed_labels(labels, identity, head, spec=spec, where=folder),
        base_model=str(file.get("model_name") or "") or None,
        identity=identity,
    )


def write(
    folder: Path,
    adapter: ForeignAdapter,
    *,
    spec: BackboneSpec,
    config: Mapping[str, object],
    name: str = "edgeadapt",
    safetensors: bool = False,
    force: bool = False,
) -> None:
    """Writes a folder that ``load_adapter`` of an ``…AdapterModel`` reads, with the head.

    Args:
        folder: The folder to create.
        adapter: A sequential, houlsby or parallel adapter.
        spec: The backbone's description.
        config: The backbone's config.json.
        name: Name of the adapter and its head.
        safetensors: Write safetensors instead of ``.bin`` files; ``load_adapter`` then needs
            ``use_safetensors=True``.
        force: Overwrite an existing folder.

    Raises:
        ModelError: AdapterHub's format does not support the adapter.
        OutputExistsError: The folder exists and ``force`` is not set.
    """
    layout, placement = layout_of(spec, folder), placement_of(adapter.config, where=folder)
    check_reading(adapter.config, layout, where=folder)
    if not name or "." in name:
        raise refused(folder, f"the name {name!r}", supported="a name without dots")
    own = list(entries(adapter.config, layout, spec=spec, config=config))
    check_tensors(adapter.tensors, {entry.name: entry.shape for entry in own}, where="The adapter")
    tensors = named(own, adapter.tensors, name=name, spec=spec)
    labels = agreed_labels(adapter.labels, adapter.identity, adapter.head, spec=spec, where=folder)
    common = {
        "hidden_size": hidden_size(config),
        "model_class": layout.model_class,
        "model_name": adapter.base_model or "",
        "model_type": spec.model_type,
        "name": name,
        "version": _VERSION,
    }
    options = to_options(adapter.config, placement, _backbone(spec, config))
    head = WrittenHead.of(adapter.head, labels, spec=spec, config=config) if adapter.head else None
    identity = adapter.with_labels()
    with staged_folder(folder, force=force, known_by=CONFIG) as staging:
        write_json(staging / CONFIG, {**common, "config": options})
        write_tensors(staging / (SAFE if safetensors else PICKLED), tensors)
        if head is not None:
            head.save(staging, common, safetensors=safetensors)
        if identity is not None:
            identity.save(staging)


def _backbone(spec: BackboneSpec, config: Mapping[str, object]) -> Backbone:
    return Backbone(
        hidden=hidden_size(config),
        stored=stored_layers(spec, config),
        activation=str(setting(config, spec.activation_key)),
    )


def _check_backbone(
    file: Mapping[str, object], *, spec: BackboneSpec, config: Mapping[str, object], where: Path
) -> str:
    """Checks that an adapter is for this backbone, and returns the adapter's name."""
    found = (file.get("model_type"), file.get("hidden_size"))
    expected = (spec.model_type, hidden_size(config))
    for name, here, there in zip(("model_type", "hidden_size"), expected, found, strict=True):
        if there is not None and there != here:
            raise ModelError(
                f"{where}: {name}: expected {here}, the backbone's, found {there}.",
                hint=f"The adapter is for {file.get('model_name') or 'another backbone'}.",
            )
    if not isinstance(file.get("name"), str):
        raise ModelError(
            f"{where}: name: expected the adapter's name, found {file.get('name')!r}.",
            hint="Is it a configuration that `save_adapter` wrote?",
        )
    return str(file["name"])
