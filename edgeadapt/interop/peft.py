"""PEFT's format: a folder with ``adapter_config.json`` and the weights of a LoRA and its head.

Mangrulkar et al. 2022, PEFT (github.com/huggingface/peft). LoRA's tensors are named by their place:
``base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight`` of shape (r, in) and
``….lora_B.weight`` of shape (out, r). The other tensors are those of the head, stored in full, by
their names in the classifier. If one dense layer computes query, key and value, its product is read
as one product for each of the three, with the same A.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from edgeadapt.backbones import STOCK_HEADS, BackboneSpec
from edgeadapt.errors import ModelError
from edgeadapt.interop.base import ForeignAdapter
from edgeadapt.interop.files import check_tensors, read_tensors, refused, write_tensors
from edgeadapt.interop.heads import agreed_labels, head_shapes
from edgeadapt.interop.identity import Identity
from edgeadapt.interop.layers import chosen_layers, layer_numbers, stored_layers
from edgeadapt.interop.peft_config import Options, options_of, to_options
from edgeadapt.interop.peft_low_rank import (
    Dense,
    LowRank,
    dense_layers,
    joined_targets,
    single_targets,
)
from edgeadapt.outputs import declared_names, regression
from edgeadapt.recipe import AdapterConfig, AdapterKind
from edgeadapt.store.files import read_json, write_json
from edgeadapt.store.folders import staged_folder

__all__ = ["read", "write"]

CONFIG, SAFE, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
_ROOT = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"


def read(
    folder: Path,
    *,
    spec: BackboneSpec,
    config: Mapping[str, object],
    base_head: Mapping[str, Tensor] | None = None,
) -> ForeignAdapter:
    """Reads a LoRA, and its head if there is one.

    Args:
        folder: Folder of the files.
        spec: The backbone's description.
        config: The backbone's config.json.
        base_head: The parts of the head in the base checkpoint, by their names in the stock
            classifier. A target such as ``dense`` or ``all-linear`` matches BERT's pooler too;
            that product is folded into the weight given here.

    Raises:
        ModelError: edgeadapt does not support the adapter, or it does not fit the backbone.
        LayoutError: A file is missing or damaged.
    """
    where = folder / CONFIG
    file = read_json(where)
    options = options_of(file, where=where)
    path, found = read_tensors(folder, safe=SAFE, pickled=PICKLED)
    products, whole = _sorted_out(found, spec, path)
    known = {dense.name: dense for dense in dense_layers(spec, config)}
    in_layers, others = _by_layer(products, known, spec=spec)
    head = _read_head(whole, spec=spec, config=config, path=path)
    for module, product in others.items():
        head |= _folded(module, product, options, {**(base_head or {}), **head}, spec, path)
    adapter, tensors = _read_layers(in_layers, known, options, spec=spec, config=config, path=path)
    identity = Identity.load(folder)
    return ForeignAdapter(
        config=adapter,
        tensors=tensors,
        head=head,
        labels=agreed_labels(
            declared_names(file, where=str(where)), identity, head, spec=spec, where=folder
        ),
        base_model=options.base_model,
        identity=identity,
    )


def write(
    folder: Path,
    adapter: ForeignAdapter,
    *,
    spec: BackboneSpec,
    config: Mapping[str, object],
    safetensors: bool = True,
    force: bool = False,
) -> None:
    """Writes a folder that ``PeftModel.from_pretrained`` loads into a stock classifier.

    Args:
        folder: The folder to create.
        adapter: A LoRA.
        spec: The backbone's description.
        config: The backbone's config.json.
        safetensors: Write safetensors; ``False`` writes a ``.bin`` file, for libraries that do not
            read safetensors.
        force: Overwrite an existing folder.

    Raises:
        ModelError: PEFT's format does not support the adapter.
        OutputExistsError: The folder exists and ``force`` is not set.
    """
    if adapter.config.method != AdapterKind.LORA:
        raise refused(
            folder,
            f"the method {adapter.config.method}",
            supported="in PEFT's format lora",
            hint="sequential, houlsby and parallel can be written in AdapterHub's format.",
        )
    products = _written(adapter, spec=spec, config=config)
    rank = max(len(product.a) for product in products.values())
    tensors = _named(products, rank=rank, layers=spec.layers)
    tensors |= {f"{_ROOT}{name}": tensor for name, tensor in adapter.head.items()}
    _check_head(adapter, spec=spec, config=config, where=folder)
    whole = [part for part in spec.head if any(n.startswith(f"{part}.") for n in adapter.head)]
    options = Options(rank, adapter.config.scaling, adapter.config.dropout, adapter.base_model)
    table = to_options(options, layers=spec.layers, modules=products, head=whole)
    identity = adapter.with_labels()
    with staged_folder(folder, force=force, known_by=CONFIG) as staging:
        write_json(staging / CONFIG, table)
        write_tensors(staging / (SAFE if safetensors else PICKLED), tensors)
        if identity is not None:
            identity.save(staging)


def _sorted_out(
    found: Mapping[str, Tensor], spec: BackboneSpec, path: Path
) -> tuple[dict[str, LowRank], dict[str, Tensor]]:
    """Returns module -> its product, and name -> tensor for those that are stored in full."""
    halves: dict[str, dict[str, Tensor]] = {_A: {}, _B: {}}
    whole: dict[str, Tensor] = {}
    for key, tensor in found.items():
        if not key.startswith(_ROOT):
            raise refused(path, f"the tensor {key}", supported=f"names that begin with {_ROOT}")
        name = _in_classifier(key.removeprefix(_ROOT), spec)
        end = next((end for end in halves if name.endswith(end)), None)
        if end is not None:
            halves[end][name.removesuffix(end)] = tensor
        elif ".lora_" in name:
            raise refused(path, f"the tensor {key}", supported="lora_A and lora_B")
        else:
            whole[name] = tensor
    if alone := sorted(halves[_A].keys() ^ halves[_B].keys()):
        raise ModelError(
            f"{path}: {alone[0]}: expected both lora_A and lora_B, found one of them.",
            hint="Copy or download the whole folder again.",
        )
    return {name: LowRank(a, halves[_B][name]) for name, a in halves[_A].items()}, whole


def _in_classifier(name: str, spec: BackboneSpec) -> str:
    """Returns a name with the encoder's prefix, which files saved from a bare encoder lack."""
    prefixed = f"{spec.encoder}.{name}"
    parts = (f"{spec.layers}.", *(f"{part}." for part in spec.head))
    return prefixed if f"{prefixed}.".startswith(parts) else name


def _by_layer(
    products: Mapping[str, LowRank], known: Mapping[str, Dense], *, spec: BackboneSpec
) -> tuple[dict[int, dict[str, LowRank]], dict[str, LowRank]]:
    """Returns the products in transformer layers, by the layer's number, and all others."""
    in_layers: dict[int, dict[str, LowRank]] = {}
    others = {}
    for module, product in products.items():
        number, _, name = module.removeprefix(f"{spec.layers}.").partition(".")
        if module.startswith(f"{spec.layers}.") and number.isdecimal() and name in known:
            in_layers.setdefault(int(number), {})[name] = product
        else:
            others[module] = product
    return in_layers, others


def _read_layers(
    in_layers: Mapping[int, Mapping[str, LowRank]],
    known: Mapping[str, Dense],
    options: Options,
    *,
    spec: BackboneSpec,
    config: Mapping[str, object],
    path: Path,
) -> tuple[AdapterConfig, dict[str, Tensor]]:
    stored = stored_layers(spec, config)
    beyond = sorted(in_layers.keys() - set(stored))
    if beyond or not in_layers:
        raise ModelError(
            f"{path}: expected LoRA on layers from 0 to {max(stored)}, the backbone's, found "
            f"{beyond or 'none'}.",
            hint="The adapter is for another backbone.",
        )
    _check_uniform(in_layers, path)
    names = [name for name in known if name in next(iter(in_layers.values()))]
    layers = [layer for layer, at in enumerate(stored) if at in in_layers]
    tensors: dict[str, Tensor] = {}
    for layer in layers:
        for name in names:
            product, dense = in_layers[stored[layer]][name], known[name]
            at = f"{path}: {spec.layers}.{stored[layer]}.{name}"
            product.check(widths=(dense.width_in, dense.width_out), rank=options.rank, where=at)
            for target in dense.targets:
                a, b = _names(layer, target)
                tensors |= {a: product.a, b: product.b[dense.rows(target)]}
    targets = [target for name in names for target in known[name].targets]
    adapter = AdapterConfig(
        method=str(AdapterKind.LORA),
        rank=options.rank,
        targets=joined_targets(targets),
        scaling=options.scaling,
        dropout=options.dropout,
        layers=chosen_layers(layers, len(stored)),
    )
    return adapter, tensors


def _check_uniform(in_layers: Mapping[int, Mapping[str, LowRank]], path: Path) -> None:
    first = min(in_layers)
    for layer, products in sorted(in_layers.items()):
        if products.keys() != in_layers[first].keys():
            raise refused(
                path,
                f"LoRA on {', '.join(sorted(in_layers[first]))} in layer {first} and on "
                f"{', '.join(sorted(products))} in layer {layer}",
                supported="the same dense layers in every layer that has LoRA",
            )


def _read_head(
    whole: Mapping[str, Tensor], *, spec: BackboneSpec, config: Mapping[str, object], path: Path
) -> dict[str, Tensor]:
    outputs = len(whole.get(f"{STOCK_HEADS[spec.model_type].out}.weight", ()))
    if outputs == 1:
        raise regression(str(path), outputs=outputs)
    shapes = head_shapes(list(whole), spec, config, outputs)
    others = sorted(whole.keys() - shapes.keys())
    if others:
        raise refused(
            path,
            f"tensors stored in full that are not the head's: {', '.join(others[:3])}",
            supported=f"modules_to_save of {', '.join(spec.head)}",
        )
    check_tensors(whole, shapes, where=path)
    return dict(whole)


def _folded(
    module: str,
    product: LowRank,
    options: Options,
    head: Mapping[str, Tensor],
    spec: BackboneSpec,
    path: Path,
) -> dict[str, Tensor]:
    """Returns the parameters of a dense layer of the head, with a product added to its weight."""
    stock = STOCK_HEADS[spec.model_type]
    if module not in (stock.dense, stock.out):
        raise refused(
            path,
            f"LoRA on {module}",
            supported=f"the dense layers in {spec.layers}, and of the head",
        )
    weight, bias = head.get(f"{module}.weight"), head.get(f"{module}.bias")
    if weight is None:
        raise ModelError(
            f"{path}: found LoRA on {module}, a part of the head: expected the weight that the "
            "base checkpoint has there, to add it to, found none.",
            hint="Read it with the base checkpoint's head, or train with target_modules that "
            "leave it out.",
        )
    width_out, width_in = weight.shape
    product.check(widths=(width_in, width_out), rank=options.rank, where=f"{path}: {module}")
    folded = {f"{module}.weight": weight.detach() + options.scaling * product.b @ product.a}
    return folded if bias is None else {**folded, f"{module}.bias": bias.detach()}


def _written(
    adapter: ForeignAdapter, *, spec: BackboneSpec, config: Mapping[str, object]
) -> dict[tuple[int, str], LowRank]:
    """Returns (number of the stored layer, name of the dense layer) -> product to write.

    Raises:
        ModelError: Layers that share their weights have different products.
    """
    targets = single_targets(adapter.config.lora_targets)
    dense = [d.only(targets) for d in dense_layers(spec, config) if targets & d.targets.keys()]
    stored = stored_layers(spec, config)
    layers = layer_numbers(adapter.config.layers, len(stored))
    _check_own(adapter, layers, dense)
    products: dict[tuple[int, str], LowRank] = {}
    for layer in layers:
        for each in dense:
            product = _of_dense(adapter.tensors, layer, each)
            if not products.setdefault((stored[layer], each.name), product).equals(product):
                raise _not_shared(spec)
    whole = [layer for layer, at in enumerate(stored) if at in {stored[n] for n in layers}]
    if whole != list(layers):
        raise _not_shared(spec)
    return products


def _not_shared(spec: BackboneSpec) -> ModelError:
    return refused(
        "The adapter",
        f"different LoRA for layers of {spec.model_type} that share their weights",
        supported="in PEFT's format one for all layers of a group",
        hint="Export the run with `edgeadapt export` instead.",
    )


def _check_own(adapter: ForeignAdapter, layers: Sequence[int], dense: Sequence[Dense]) -> None:
    rank = adapter.config.rank
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        for each in dense:
            for target in each.targets:
                rows = each.rows(target)
                a, b = _names(layer, target)
                shapes |= {a: (rank, each.width_in), b: (rows.stop - rows.start, rank)}
    check_tensors(adapter.tensors, shapes, where="The adapter")


def _of_dense(tensors: Mapping[str, Tensor], layer: int, dense: Dense) -> LowRank:
    parts = []
    for target in dense.targets:
        a, b = _names(layer, target)
        parts.append((LowRank(tensors[a], tensors[b]), dense.rows(target)))
    return LowRank.joined(parts, dense.width_out)


def _names(layer: int, target: str) -> tuple[str, str]:
    """Returns edgeadapt's names of A and B."""
    prefix = f"{AdapterKind.LORA}.layers.{layer}.{target}"
    return f"{prefix}.a", f"{prefix}.b"


def _named(
    products: Mapping[tuple[int, str], LowRank], *, rank: int, layers: str
) -> dict[str, Tensor]:
    """Returns the tensors by PEFT's names."""
    tensors: dict[str, Tensor] = {}
    for (layer, name), product in products.items():
        key, padded = f"{_ROOT}{layers}.{layer}.{name}", product.padded(rank)
        tensors |= {f"{key}{_A}": padded.a, f"{key}{_B}": padded.b}
    return tensors


def _check_head(
    adapter: ForeignAdapter, *, spec: BackboneSpec, config: Mapping[str, object], where: Path
) -> None:
    outputs = len(adapter.head.get(f"{STOCK_HEADS[spec.model_type].out}.weight", ()))
    shapes = head_shapes(list(adapter.head), spec, config, outputs)
    check_tensors(adapter.head, shapes, where="The head")
    agreed_labels(adapter.labels, adapter.identity, adapter.head, spec=spec, where=where)
