"""Convert parsed JSON to dataclasses and check every type.

    @dataclass(frozen=True)
    class Variant:
        file: str
        engine: EngineName
        scheme: str | None = None

    from_json(Variant, {"file": "model.onnx", "engine": "onnxruntime"}, where="manifest.json")

The annotations define what is expected: ``str``, ``int``, ``float``, ``bool``, ``None``, enums of
strings, ``Literal``, unions, ``tuple``, ``Sequence``, ``Mapping`` with keys of strings,
dataclasses, and ``TypedDict`` for objects of which only some keys are checked. ``object`` and
``Any`` accept every value. ``Annotated[int, Check("…", …)]`` narrows a type.
"""

import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from edgeadapt.errors import LayoutError
from edgeadapt.parsing import Refusal

__all__ = ["Check", "Count", "Names", "from_json"]

T = TypeVar("T")


@dataclass(frozen=True)
class Check:
    """A condition on the values of the annotated type."""

    expected: str
    """The condition in words, for the message, such as ``"a whole number above 0"``."""
    holds: Callable[[Any], bool]
    """Returns whether the condition holds; is called with values of the right type only."""


Count = Annotated[int, Check("a whole number from 0", lambda number: number >= 0)]
"""A number of things."""
Names = Annotated[
    tuple[str, ...],
    Check("at least one name, all different", lambda names: 0 < len(set(names)) == len(names)),
]
"""Different names in a meaningful order."""


def from_json(kind: type[T], value: object, *, where: str, refusal: Refusal = LayoutError) -> T:
    """Builds a dataclass from a parsed JSON object.

    A key with a default may be missing; a key that is not a field is an error. An integer is
    accepted as a float; no other conversion is made: ``2.0`` is not an int and ``1`` not a bool.

    Args:
        kind: A dataclass. A ``ValueError`` of its ``__post_init__`` is reported like a wrong type.
        value: What ``json.loads`` returned.
        where: Where it stands, for the message.
        refusal: Kind of the error.

    Raises:
        EdgeAdaptError: A key is missing, unknown, or has another type; the message names it.
    """
    try:
        return cast("T", _read(kind, value, ""))
    except _MismatchError as error:
        raise refusal(f"{where}: {error}.") from None


class _MismatchError(Exception):
    """A value does not have the expected type."""

    def __init__(self, at: str, message: str) -> None:
        super().__init__(f"{at}: {message}" if at else message)


def _mismatch(at: str, expected: str, value: object) -> _MismatchError:
    return _MismatchError(at, f"expected {expected}, found {_shown(value)}")


def _read(hint: Any, value: object, at: str) -> Any:
    """Returns the value as the type ``hint``; ``at`` is its path, such as ``files.a.bytes``."""
    return _reader(hint)(hint, value, at)


_SCALARS: Mapping[Any, str] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    types.NoneType: "null",
    None: "null",
}


def _read_scalar(hint: Any, value: object, at: str) -> Any:
    expected = types.NoneType if hint is None else hint
    if expected is float and type(value) is int and abs(value) < 2**63:
        return float(value)
    if type(value) is not expected:
        raise _mismatch(at, _SCALARS[hint], value)
    if isinstance(value, float) and not math.isfinite(value):
        raise _mismatch(at, "a finite number", value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise _mismatch(at, "a whole number of at most 64 bits", value)
    if isinstance(value, str) and not _encodable(value):
        raise _mismatch(at, "a string of characters", value)
    return value


def _encodable(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _read_annotated(hint: Any, value: object, at: str) -> Any:
    read = _read(hint.__origin__, value, at)
    for each in hint.__metadata__:
        if isinstance(each, Check) and not each.holds(read):
            raise _mismatch(at, each.expected, value)
        if is_typeddict(each):  # a mapping of which some keys are checked
            read = _read(each, value, at)
    return read


def _read_union(hint: Any, value: object, at: str) -> Any:
    options = get_args(hint)
    if value is None and types.NoneType in options:
        return None
    left = [option for option in options if option is not types.NoneType]
    if len(left) == 1:
        return _read(left[0], value, at)  # its message is about the part that is wrong
    for option in left:
        try:
            return _read(option, value, at)
        except _MismatchError:
            continue
    raise _mismatch(at, " or ".join(map(_named, options)), value)


def _named(hint: Any) -> str:
    return _SCALARS.get(hint, getattr(hint, "__name__", str(hint)))


def _read_literal(hint: Any, value: object, at: str) -> Any:
    return _choice(get_args(hint), value, at)


def _read_enum(hint: Any, value: object, at: str) -> Any:
    if isinstance(value, hint):  # content of an older file that was upgraded is already converted
        return value
    return hint(_choice(tuple(each.value for each in hint), value, at))


def _choice(choices: tuple[Any, ...], value: object, at: str) -> Any:
    # Compares types too, because 1 == True; no set lookup, because a list is not hashable.
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise _mismatch(at, f"one of {', '.join(map(str, choices))}", value)
    return value


def _read_tuple(hint: Any, value: object, at: str) -> tuple[Any, ...]:
    options = get_args(hint)
    if len(options) == 2 and options[1] is Ellipsis:
        return tuple(_read_list(hint, value, at))
    if not isinstance(value, list | tuple) or len(value) != len(options):
        raise _mismatch(at, f"a list of {len(options)}", value)
    return tuple(
        _read(option, item, _item(at, number))
        for number, (option, item) in enumerate(zip(options, value, strict=True))
    )


def _read_list(hint: Any, value: object, at: str) -> list[Any]:
    kind = get_args(hint)[0]
    if not isinstance(value, list | tuple):
        raise _mismatch(at, "a list", value)
    return [_read(kind, item, _item(at, number)) for number, item in enumerate(value)]


def _read_mapping(hint: Any, value: object, at: str) -> dict[str, object]:
    keys, values = get_args(hint)
    mapping = _mapping(value, at)
    return {_read(keys, key, at): _read(values, item, _key(at, key)) for key, item in mapping}


def _mapping(value: object, at: str) -> list[tuple[str, object]]:
    if not isinstance(value, Mapping):
        raise _mismatch(at, "an object", value)
    for key in value:
        if not isinstance(key, str) or not _encodable(key):
            raise _mismatch(at, "keys of characters", key)
    return list(value.items())


def _read_dataclass(kind: type, value: object, at: str) -> Any:
    if isinstance(value, kind):  # converted already, by the code that upgrades older files
        return value
    hints, known = _hints(kind), {each.name: each for each in fields(kind) if each.init}
    given = dict(_mapping(value, at))
    for key in given:
        if key not in known:
            raise _MismatchError(at, f"unknown key {_shown(key)}: expected {', '.join(known)}")
    for name, each in known.items():
        if name not in given and _is_required(each):
            raise _MismatchError(at, f"the key {name!r} is missing")
    read = {key: _read(hints[key], item, _key(at, key)) for key, item in given.items()}
    try:
        return kind(**read)
    except ValueError as error:
        raise _MismatchError(at, str(error)) from None


def _is_required(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _read_typed_dict(kind: Any, value: object, at: str) -> dict[str, object]:
    """Checks the declared keys; others are kept unchanged."""
    hints, given = _hints(kind), dict(_mapping(value, at))
    for name in sorted(kind.__required_keys__ - given.keys()):
        raise _MismatchError(at, f"the key {name!r} is missing")
    return {
        key: _read(hints[key], item, _key(at, key)) if key in hints else item
        for key, item in given.items()
    }


def _read_item(hint: Any, value: object, at: str) -> Any:
    return _read(get_args(hint)[0], value, at)


def _read_anything(hint: Any, value: object, at: str) -> Any:
    return value


_Reader = Callable[[Any, object, str], Any]

_READERS: Mapping[Any, _Reader] = {
    **dict.fromkeys(_SCALARS, _read_scalar),
    Any: _read_anything,
    object: _read_anything,
    NotRequired: _read_item,  # of a TypedDict
    Required: _read_item,
    Annotated: _read_annotated,
    Union: _read_union,
    types.UnionType: _read_union,
    Literal: _read_literal,
    tuple: _read_tuple,
    list: _read_list,
    Sequence: _read_list,
    dict: _read_mapping,
    Mapping: _read_mapping,
}
"""Type, or origin of a parametrized type -> its reader."""


def _is_enum(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, StrEnum)


_KINDS: Sequence[tuple[Callable[[Any], bool], _Reader]] = (
    (_is_enum, _read_enum),
    (is_dataclass, _read_dataclass),
    (is_typeddict, _read_typed_dict),
)


def _reader(hint: Any) -> _Reader:
    made_of = get_origin(hint) or hint
    if made_of in _READERS:
        return _READERS[made_of]
    for is_one, reader in _KINDS:
        if is_one(hint):
            return reader
    raise TypeError(f"from_json knows no type {hint!r}")


@cache
def _hints(kind: type) -> dict[str, Any]:  # annotations are anything that Python can say
    return get_type_hints(kind, include_extras=True)


def _key(at: str, key: str) -> str:
    plain = key if key.isprintable() and len(key) <= 80 else repr(key[:80])
    return f"{at}.{plain}" if at else plain


def _item(at: str, number: int) -> str:
    return f"{at}[{number}]"


def _shown(value: object) -> str:
    """Returns a value shortened and printable, because it may come from an untrusted file."""
    match value:
        case Mapping():
            return "an object"
        case list() | tuple():
            return f"a list of {len(value)}"
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case int() if abs(value) >= 2**63:
            return "a larger one"
        case str() if len(value) > 60:
            return f"{value[:60]!r} …"
    return repr(value)
