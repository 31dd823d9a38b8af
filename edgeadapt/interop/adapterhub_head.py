"""AdapterHub's heads: ``head_config.json`` and the weights.

A *flexible* head is a list of dense layers with dropout between them, applied to the first token or
to the backbone's pooler; a *static* head is the head of a stock class. Both are converted to the
stock class's parameters, if they compute the same function. Source: ``heads/base.py``
and ``head_utils.py`` of the package adapters 1.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

from torch import Tensor

from edgeadapt.backbones import STOCK_HEADS, BackboneSpec, StockHead
from edgeadapt.errors import MissingError
from edgeadapt.interop.files import check_tensors, read_tensors, refused, write_tensors
from edgeadapt.interop.heads import head_shapes
from edgeadapt.outputs import declared_names
from edgeadapt.store.files import read_json, write_json

__all__ = ["WrittenHead", "read_head"]

CONFIG, SAFE, PICKLED = "head_config.json", "model_head.safetensors", "pytorch_model_head.bin"

_DEFAULTS: Mapping[str, object] = MappingProxyType(
    {
        "num_labels": 2,
        "layers": 2,
        "activation_function": "tanh",
        "label2id": None,
        "use_pooler": False,
        "bias": True,
        "dropout_prob": None,
    }
)
"""Values of missing options of a flexible classification head."""

_FLEXIBLE = ("AdapterModel", "ModelWithHeads")
_STATIC = "ForSequenceClassification"


def read_head(
    folder: Path, *, spec: BackboneSpec, config: Mapping[str, object]
) -> tuple[dict[str, Tensor], tuple[str, ...] | None]:
    """Reads the head in a folder, if there is one.

    Args:
        folder: The adapter's folder.
        spec: The backbone's description.
        config: The backbone's config.json.

    Returns:
        Name in the stock classifier -> tensor, and the labels; ``None`` if the files do not name
        them.

    Raises:
        ModelError: The stock class cannot compute the head, or a tensor does not fit.
        LayoutError: A file is missing or damaged.
    """
    if not any((folder / name).is_file() for name in (CONFIG, SAFE, PICKLED)):
        return {}, None
    where = folder / CONFIG
    if not where.is_file():
        raise MissingError(
            f"{folder} holds the weights of a head, but no {CONFIG} that describes them.",
            hint="Copy the whole folder, or remove the head's weights to read only the adapter.",
        )
    file = read_json(where)
    if file.get("model_type", spec.model_type) != spec.model_type:
        raise refused(where, f"a head for {file['model_type']}", supported=spec.model_type)
    path, found = read_tensors(folder, safe=SAFE, pickled=PICKLED)
    model_class = str(file.get("model_class"))
    if model_class.endswith(_FLEXIBLE):
        return _read_flexible(found, file, spec=spec, config=config, paths=(where, path))
    if model_class.endswith(_STATIC):
        return _read_static(found, file, spec=spec, config=config, paths=(where, path))
    raise refused(where, f"a head of the class {model_class}", supported=f"heads of a …{_STATIC}")


@dataclass(frozen=True)
class WrittenHead:
    """A flexible classification head, ready to be saved."""

    options: Mapping[str, object]
    tensors: Mapping[str, Tensor]
    """Name in the list of dense layers -> tensor."""

    @classmethod
    def of(
        cls,
        head: Mapping[str, Tensor],
        labels: tuple[str, ...] | None,
        *,
        spec: BackboneSpec,
        config: Mapping[str, object],
    ) -> Self:
        """Converts a stock head.

        Args:
            head: Name in the stock classifier -> tensor.
            labels: Label names in the order of the outputs.
            spec: The backbone's description.
            config: The backbone's config.json.

        Raises:
            ModelError: The head is incomplete, or has tensors that a flexible head does not have.
        """
        stock = STOCK_HEADS[spec.model_type]
        pooled = stock.pooled and not any(name.startswith(f"{stock.dense}.") for name in head)
        places = _places(stock, pooled=pooled)
        names = _parameters(places, bias=True)
        outputs = len(head.get(f"{stock.out}.weight", ()))
        check_tensors(head, head_shapes(list(names), spec, config, outputs), where="The head")
        options = {
            **_DEFAULTS,
            "head_type": "classification",
            "num_labels": outputs,
            "layers": len(places),
            "activation_function": None if pooled else stock.activation_in(config),
            "use_pooler": pooled,
            "label2id": None if labels is None else {label: n for n, label in enumerate(labels)},
        }
        return cls(options, {there: head[here] for here, there in names.items()})

    def save(self, folder: Path, common: Mapping[str, object], *, safetensors: bool) -> None:
        """Writes the head's configuration and weights.

        Args:
            folder: An existing folder.
            common: Keys that the head's configuration shares with the adapter's, such as ``name``.
            safetensors: Write a safetensors file instead of a ``.bin`` file.
        """
        write_json(folder / CONFIG, {**common, "config": dict(self.options)})
        tensors = {f"heads.{common['name']}.{name}": t for name, t in self.tensors.items()}
        write_tensors(folder / (SAFE if safetensors else PICKLED), tensors)


def _read_flexible(
    found: Mapping[str, Tensor],
    file: Mapping[str, object],
    *,
    spec: BackboneSpec,
    config: Mapping[str, object],
    paths: tuple[Path, Path],
) -> tuple[dict[str, Tensor], tuple[str, ...] | None]:
    where, path = paths
    given = file.get("config") or {}
    if not isinstance(given, dict):
        raise refused(where, f"a configuration that is {given!r}", supported="a table of options")
    options = {**_DEFAULTS, **given}
    if options.get("head_type") != "classification":
        raise refused(where, f"a {options.get('head_type')} head", supported="classification")
    outputs = _outputs(options["num_labels"], where)
    stock = STOCK_HEADS[spec.model_type]
    places = _places(stock, pooled=_is_pooled(options, stock, config, where))
    # The library saves every head whose name begins with the adapter's name; only the one with
    # exactly this name belongs to the adapter.
    prefix = f"heads.{file.get('name')}."
    own = {
        key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)
    }
    names = _parameters(places, bias=bool(options["bias"]))
    shapes = head_shapes(list(names), spec, config, outputs)
    check_tensors(own, {names[here]: shape for here, shape in shapes.items()}, where=path)
    head = {here: own[there] for here, there in names.items()}
    if not options["bias"]:
        head[f"{stock.out}.bias"] = head[f"{stock.out}.weight"].new_zeros(outputs)
    return head, declared_names(options, where=str(where), count=outputs)


def _read_static(
    found: Mapping[str, Tensor],
    file: Mapping[str, object],
    *,
    spec: BackboneSpec,
    config: Mapping[str, object],
    paths: tuple[Path, Path],
) -> tuple[dict[str, Tensor], tuple[str, ...] | None]:
    where, path = paths
    named = declared_names(file, where=str(where))
    outputs = _outputs(file.get("num_labels") or (named and len(named)), where)
    stock = STOCK_HEADS[spec.model_type]
    names = list(_parameters(_places(stock, pooled=stock.pooled), bias=True))
    check_tensors(found, head_shapes(names, spec, config, outputs), where=path)
    return dict(found), declared_names(file, where=str(where), count=outputs)


def _outputs(number: object, where: Path) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 2:
        raise refused(where, f"num_labels = {number!r}", supported="2 labels or more")
    return number


def _is_pooled(
    options: Mapping[str, object], stock: StockHead, config: Mapping[str, object], where: Path
) -> bool:
    """Returns whether the head is applied to the backbone's pooler, not to the first token."""
    layers, pooler = options["layers"], bool(options["use_pooler"])
    between = options["activation_function"] if layers == 2 else None
    if stock.pooled and (layers, pooler) == (1, True):
        return True
    expected = stock.activation_in(config)
    if (layers, between, pooler) == (2, expected, False):
        return False
    also = ", or 1 layer on the pooler" if stock.pooled else ""
    raise refused(
        where,
        f"a head of {layers} layers with activation_function = {options['activation_function']!r} "
        f"and use_pooler = {str(pooler).lower()}",
        supported=f"the stock class's head: 2 layers with {expected!r} on the first token{also}",
        hint="Read the adapter without its head (a copy of the folder without the head's files) "
        "and train a new head on it.",
    )


def _places(stock: StockHead, *, pooled: bool) -> dict[str, int]:
    """Returns dense layer of the stock head -> its index in the list, which includes dropouts."""
    return {stock.out: 1} if pooled else {stock.dense: 1, stock.out: 4}


def _parameters(places: Mapping[str, int], *, bias: bool) -> dict[str, str]:
    """Returns name in the stock classifier -> name in the list of layers.

    Only the last layer's bias is optional.
    """
    last = max(places.values())
    return {
        f"{dense}.{name}": f"{index}.{name}"
        for dense, index in places.items()
        for name in ("weight", "bias")
        if name == "weight" or bias or index != last
    }
