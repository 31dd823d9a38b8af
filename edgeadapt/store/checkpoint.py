"""Read and check a checkpoint's config.json before any library opens the folder.

transformers can run Python files named in the JSON of a checkpoint, after asking on the terminal.
Such a folder is rejected here, so that no code runs and no question is asked.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgeadapt.backbones import BACKBONES, BackboneSpec, backbone_spec
from edgeadapt.errors import ModelError
from edgeadapt.outputs import Outputs
from edgeadapt.parsing import check_unmarked
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.files import read_json
from edgeadapt.store.sizes import MOST_LAYERS

__all__ = ["CheckpointConfig", "bundled_checkpoint_config", "read_checkpoint_config"]

_CONFIG = "config.json"
_ADAPTER = "adapter_config.json"
_POSITIONS = "max_position_embeddings"
_OTHER_CONFIGS = (
    "tokenizer_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "generation_config.json",
)
"""The other files in which transformers looks for class names."""
_CODE_KEYS = ("auto_map", "custom_pipelines")
"""Keys whose values name Python files, in the folder or in another repository."""

_PROVENANCE = frozenset({
    "_name_or_path", "name_or_path", "_commit_hash", "architectures", "transformers_version",
    "adapter_transformers_version", "base_model_prefix", "name", "language", "finetuning_task",
    "task_specific_params", "pre_trained", "output_past", "xla_device", "tie_weights_",
    "sentence_transformers", "sbert_ce_default_activation_function", "transformers.js_config",
    "matryoshka_dimensions", "tokenizer_class", "prefix", "generator_size", "num_labels",
    "_num_labels", "id2label", "label2id", "problem_type", "model_type",
    "vocab_size_or_config_json_file", "unsloth_version", "unsloth_fixed",
})  # fmt: skip
"""Keys about the origin of a checkpoint or the names of its outputs."""
_OUTPUTS = frozenset({"num_labels", "_num_labels", "id2label", "label2id"})
"""Keys with the names of the outputs, which are read by ``Outputs``."""
_FORM = frozenset({
    "return_dict", "use_return_dict", "torchscript", "output_hidden_states", "output_attentions",
    "dtype", "torch_dtype", "use_bfloat16", "tf_legacy_loss", "gradient_checkpointing",
    "chunk_size_feed_forward", "attn_implementation", "_attn_implementation",
    "_attn_implementation_internal", "_attn_implementation_autoset", "experts_implementation",
    "_flash_attn_2_enabled",
})  # fmt: skip
"""Keys that select number formats and kernels. edgeadapt sets these itself, so they are not passed
on."""
_GENERATION = frozenset({
    "bad_words_ids", "begin_suppress_tokens", "decoder_start_token_id", "diversity_penalty",
    "do_sample", "early_stopping", "encoder_no_repeat_ngram_size", "eos_token_ids",
    "exponential_decay_length_penalty", "forced_bos_token_id", "forced_eos_token_id",
    "length_penalty", "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups",
    "num_beams", "num_return_sequences", "output_scores", "remove_invalid_values",
    "repetition_penalty", "return_dict_in_generate", "suppress_tokens", "temperature", "top_k",
    "top_p", "typical_p", "bos_token_id", "cls_token_id", "eos_token_id", "mask_token_id",
    "sep_token_id", "unk_token_id", "tie_word_embeddings", "use_cache",
})  # fmt: skip
"""Keys for text generation, of which each version of transformers has some. A classifier does not
read them."""
_UNREAD = frozenset({
    "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head",
    "emb_size", "embedding_size", "classifier_dropout", "reference_compile",
    "repad_logits_with_grad",
})  # fmt: skip
"""Keys of published checkpoints that stock classes do not read and that do not change the
computation: the pooler of TensorFlow BERT, widths that are also given by the shapes of the weights,
dropout, kernels."""
_IDLE = _PROVENANCE | _FORM | _GENERATION | _UNREAD
_READ_BY_MODEL: Mapping[str, frozenset[str]] = MappingProxyType({
    "deberta-v2": frozenset({
        "attention_head_size", "cls_dropout", "conv_act", "conv_groups", "conv_kernel_size",
        "norm_rel_ebd", "position_buckets", "share_att_key",
    }),
    "modernbert": frozenset({
        "global_attn_every_n_layers", "global_rope_theta", "local_rope_theta", "layer_norm_eps",
    }),
})  # fmt: skip
"""Model type -> keys that its stock classes read in addition to the parameters of the config class.
ModernBERT's ``layer_norm_eps`` repeats its ``norm_eps`` and is not read."""
_ONLY: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        "position_embedding_type": ("absolute",),  # transformers 5 ignores it
        "is_decoder": (False,),
        "is_encoder_decoder": (False,),
        "add_cross_attention": (False,),
        "tie_encoder_decoder": (False,),
        "cross_attention_hidden_size": (),
        "quantization_config": (),
        "pruned_heads": ({},),  # transformers 5 ignores it
        "pooler_type": ("first_token_transform",),
        "directionality": ("bidi",),
        "gap_size": (0,),
        "down_scale_factor": (1,),
        "net_structure_type": (0,),
        "num_memory_blocks": (0,),
        "layers_to_keep": ([],),
        "layerdrop": (0.0,),
        "loss_type": ("ForSequenceClassification",),
    }
)
"""Key -> the only values that the stock classes of all supported versions of transformers
implement. They are the defaults, so they are not passed on."""
_ONLY_OF: Mapping[str, Mapping[str, tuple[object, ...]]] = MappingProxyType({
    "modernbert": {
        "position_embedding_type": ("absolute", "sans_pos"),
        "causal_mask": (False,),
        "is_causal": (False,),
    },
})  # fmt: skip
"""Model type -> entries that replace or extend ``_ONLY``. ModernBERT always uses rotary positions
and bidirectional attention; its checkpoints state that with these keys."""
_EXAMPLES: Mapping[str, object] = MappingProxyType({
    "attention_head_size": 64, "classifier_dropout": 0.1, "cls_dropout": 0.1, "conv_act": "tanh",
    "conv_groups": 1, "conv_kernel_size": 3, "global_attn_every_n_layers": 3,
    "global_rope_theta": 160_000.0, "local_rope_theta": 10_000.0, "norm_rel_ebd": "layer_norm",
    "position_buckets": 256, "share_att_key": True,
})  # fmt: skip
"""Key -> an example value of its type, for keys whose default in the config class does not show
the type."""
_NULLABLE = frozenset({"classifier_dropout", "cls_dropout", "local_rope_theta"})
"""Keys for which null means the value of another key."""
_UNTYPED = _PROVENANCE | _FORM | _GENERATION
_COUNTS = frozenset({
    "attention_head_size", "conv_kernel_size", "dim", "embedding_size",
    "global_attn_every_n_layers", "hidden_dim", "hidden_size", "intermediate_size",
    "local_attention", "n_heads", "num_attention_heads", "vocab_size",
})  # fmt: skip
"""Keys whose value is a count of at least one."""
_LENGTHS = frozenset({"max_len", "max_seq_length"})
"""Keys that limit the length of a text, besides the size of the position embeddings. No stock class
reads them, so a limit below the size of that table is an error."""
_HUGE = 1e300
_VERSION = re.compile(r"\d+\.\d+[\w.+-]*$", re.ASCII)
_QUANTIZED_HINT = (
    "edgeadapt trains on floating-point weights and quantizes at export. Use the original "
    "checkpoint, before quantization."
)


@dataclass(frozen=True)
class CheckpointConfig:
    """Content of config.json, and the ``BackboneSpec`` of its model type."""

    file: Path
    values: Mapping[str, object]
    spec: BackboneSpec

    def stock(self, config_class: Any, **changes: object) -> Any:
        """Builds the configuration of a stock model.

        When it is passed to ``from_pretrained``, no other setting of the file has an effect.

        Args:
            config_class: The config class of the model type in the installed transformers.
            **changes: Settings that override the file.

        Raises:
            ModelError: The file has a setting that the stock classes do not read, a value that
                they do not implement or accept, or contradictory names of outputs.
        """
        refused = self._refused(config_class)
        if refused:
            raise ModelError(
                f"{self.file}: {self.spec.model_type} models of transformers do not support "
                + "; ".join(refused)
                + ".",
                hint=self._hint(),
            )
        typed = self._typed(config_class)
        left_out = {*_FORM, *_OUTPUTS, *self._only}
        kept = {k: v for k, v in typed.items() if k not in left_out}
        changes = {**self._names(), **changes}
        try:
            stock = config_class.from_dict(kept, **changes)
        except Exception as error:  # noqa: BLE001 - anything may be in the file
            raise ModelError(
                f"{self.file}: {config_class.__name__} does not accept it: {error}"
            ) from None
        if stock.pad_token_id is not None and stock.pad_token_id >= stock.vocab_size:
            raise ModelError(
                f"{self.file}: pad_token_id: expected an id below {stock.vocab_size}, the "
                f"vocab_size, found {stock.pad_token_id}.",
                hint="Correct the one that is wrong: the tokenizer has both.",
            )
        return stock

    def _names(self) -> dict[str, dict[Any, Any]]:
        """The names of the outputs, as ``id2label`` and ``label2id``.

        They are checked here, because transformers silently resolves contradictions.
        """
        names = dict(enumerate(Outputs.of(self.values, where=str(self.file)).names))
        return {"id2label": names, "label2id": {name: at for at, name in names.items()}}

    def check_activations(self, config_class: Any, known: Collection[str]) -> None:
        """Checks that transformers implements every activation named in the file.

        Args:
            config_class: The config class of the model type in the installed transformers.
            known: The activations of the installed transformers.

        Raises:
            ModelError: One is not implemented.
        """
        read = {*vars(config_class()), *_READ_BY_MODEL.get(self.spec.model_type, ())}
        for key, value in self.values.items():
            names_one = key.endswith(("_act", "activation")) and not key.startswith("summary_")
            if names_one and key in read and value not in known:
                raise ModelError(
                    f"{self.file}: {key}: expected one of {', '.join(sorted(known))}, found "
                    f"{json.dumps(value)[:80]}.",
                    hint="transformers has no such activation. Use a checkpoint of a stock model.",
                )

    def _typed(self, config_class: Any) -> dict[str, object]:
        """The settings, each converted to the type that the stock class expects.

        Raises:
            ModelError: One is of another type, or out of range.
        """
        defaults = vars(config_class())
        typed = dict(self.values)
        for key, value in self.values.items():
            own = config_class.attribute_map.get(key, key)
            if own in _UNTYPED or own in self._only or own.startswith("summary_"):  # not read
                continue
            default = defaults.get(own)
            if default is None and own in {
                *defaults,
                *_READ_BY_MODEL.get(self.spec.model_type, ()),
            }:
                default = _EXAMPLES.get(own)
            expected = _mistyped(own, value, default)
            if expected:
                raise ModelError(
                    f"{self.file}: {key}: expected {expected}, found {json.dumps(value)[:80]}.",
                    hint="Copy or download the whole folder again.",
                )
            if type(default) is int and type(value) is float and not _is_rate(own):
                typed[key] = int(value)
        return typed

    @property
    def _only(self) -> Mapping[str, tuple[object, ...]]:
        return {**_ONLY, **_ONLY_OF.get(self.spec.model_type, {})}

    def _hint(self) -> str:
        if self.values.get("quantization_config"):
            return _QUANTIZED_HINT
        return (
            "Without these settings the model would compute something else; those without effect "
            f"are accepted. {self._saved_by()}"
        )

    def _saved_by(self) -> str:
        """The advice that follows from the version of transformers that wrote the file."""
        installed, stated = version("transformers"), self.values.get("transformers_version")
        other = "Use a checkpoint of a stock model."
        if not isinstance(stated, str) or not _VERSION.match(stated):
            return other
        if _release(stated) <= _release(installed):
            return f"It was saved by transformers {stated[:20]}, {installed} is installed. {other}"
        return (
            f"It was saved by transformers {stated[:20]}, which may read them; {installed} is "
            f"installed. Install that version: pip install 'transformers>={stated[:20]}', or save "
            f"the model again with {installed} where you have its code."
        )

    def _refused(self, config_class: Any) -> list[str]:
        """Settings that change the computation and that stock classes do not implement."""
        stock = config_class()
        supported = {*vars(stock), *config_class.attribute_map, *_IDLE}
        supported |= _READ_BY_MODEL.get(self.spec.model_type, frozenset())
        only_values = self._only
        refused = []
        for key, value in self.values.items():
            if _is_empty(value) or (key in supported and key not in only_values):
                continue
            if key in _LENGTHS:
                room = self._room(stock)
                if type(value) is not int or value < room:
                    refused.append(f"{key} = {json.dumps(value)[:80]} (supported: {room} or more)")
            elif key not in only_values or value not in only_values[key]:
                only = "".join(f" (supported: {json.dumps(v)})" for v in only_values.get(key, ()))
                refused.append(f"{key} = {json.dumps(value)[:80]}{only}")
        return refused

    def _room(self, stock: Any) -> int:
        """Returns the number of tokens for which there are position embeddings."""
        first = self.spec.position_offset
        if self.spec.positions_follow_padding:
            padding = self.values.get("pad_token_id", stock.pad_token_id)
            first = padding + 1 if isinstance(padding, int) else 0
        positions = self.values.get(_POSITIONS, stock.max_position_embeddings)
        assert isinstance(positions, int)  # types were checked before
        return positions - first


def read_checkpoint_config(folder: Path) -> CheckpointConfig:
    """Reads the config.json of a checkpoint of a listed model type.

    Raises:
        ModelError: There is none, it is damaged or of an unsupported model type, it or another file
            in the folder names code to run, or the folder also contains an adapter.
        IntegrityError: A file is a git-lfs pointer or the remains of a failed download.
    """
    file = folder / _CONFIG
    if not file.is_file():
        inside = sorted(path.parent.name for path in folder.glob(f"*/{_CONFIG}"))
        raise ModelError(
            f"{folder} holds no checkpoint: there is no {_CONFIG}"
            + (f", but one in {', '.join(inside[:10])} inside it." if inside else "."),
            hint=f"Name one of these folders, such as {folder / inside[-1]}."
            if inside
            else "--model takes a folder with config.json, model.safetensors and tokenizer files.",
        )
    if (folder / _ADAPTER).exists():
        # With PEFT installed, transformers would load the base model named in the adapter instead.
        raise ModelError(
            f"{folder} holds an adapter ({_ADAPTER}) beside a model ({_CONFIG}): expected one of "
            "them.",
            hint=f"Remove {_ADAPTER} to use only the model; `edgeadapt import FOLDER "
            "--model MODEL` takes an adapter.",
        )
    values = _settings(file)
    _check_no_code(file, values)
    for name in _OTHER_CONFIGS:
        if (folder / name).is_file():
            _check_no_code(folder / name, _settings(folder / name))
    spec = _spec(file, values)
    for key in (spec.depth_key, "num_hidden_layers", spec.groups_key, "inner_group_num"):
        if key and key in values:  # otherwise the default of the config class is used
            _check_count(file, key, values[key], most=MOST_LAYERS)
    if _POSITIONS in values:
        _check_count(file, _POSITIONS, values[_POSITIONS])
    activation = values.get(spec.activation_key, "")
    if not isinstance(activation, str):  # transformers would use it as a function
        raise ModelError(
            f"{file}: {spec.activation_key}: expected the name of an activation, found "
            f"{json.dumps(activation)[:80]}.",
            hint="Copy or download the whole folder again.",
        )
    return CheckpointConfig(file, values, spec)


def bundled_checkpoint_config(bundle: Bundle, variant: str) -> CheckpointConfig:
    """Verifies every file of a variant that is a checkpoint, and reads its config.json.

    Raises:
        IntegrityError: A file is missing, changed, or not listed in the manifest.
        ModelError: The checkpoint is of another model type, or names code to run.
    """
    return read_checkpoint_config(bundle.folder_of(variant))


def _settings(file: Path) -> Mapping[str, object]:
    """Reads one of the settings files, with the limits of ``parsing``."""
    check_unmarked(file, refusal=ModelError)
    return read_json(file, refusal=ModelError)


def _spec(file: Path, values: Mapping[str, object]) -> BackboneSpec:
    model_type = values.get("model_type")
    if not isinstance(model_type, str):
        found = f"found {model_type!r}" if "model_type" in values else "found no such key"
        raise ModelError(
            f"{file}: model_type: expected one of {', '.join(BACKBONES)}, {found}.",
            hint="It names the architecture of the weights. Old checkpoints lack it: add it to the "
            'file, as in "model_type": "bert", if you know it.',
        )
    try:
        return backbone_spec(model_type)
    except ModelError as error:
        raise ModelError(f"{file}: {error.message}", hint=error.hint) from None


def _check_count(file: Path, key: str, value: object, *, most: int | None = None) -> None:
    found = f"found {json.dumps(value)[:80]}."
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        problem = f"expected a whole number above 0, {found}"
    elif most is not None and value > most:
        problem = f"expected at most {most:,}, {found}"
    else:
        return
    raise ModelError(f"{file}: {key}: {problem}", hint="Copy or download the whole folder again.")


def _release(stated: str) -> tuple[int, int]:
    major, minor = re.findall(r"\d+", stated)[:2]
    return int(major), int(minor)


def _is_rate(key: str) -> bool:
    return "dropout" in key or key.endswith("_prob")


def _mistyped(key: str, value: object, default: object) -> str:
    """Returns what was expected if the type of a value does not match ``default``, else ``""``."""
    if key == "pos_att_type":  # a text, a list of texts, or null
        parts = value if isinstance(value, list) else [value or ""]
        return "" if all(isinstance(part, str) for part in parts) else "a text or a list of texts"
    if default is None or (value is None and (key in _NULLABLE or key.endswith(("_id", "_ids")))):
        return ""
    for kind, name in ((bool, "true or false"), (str, "a text")):
        if isinstance(default, kind):
            return "" if isinstance(value, kind) else name
    return _misnumbered(key, value, default) if isinstance(default, int | float) else ""


def _misnumbered(key: str, value: object, default: float) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    number = value if isinstance(value, int | float) and is_number else float("nan")
    if _is_rate(key):
        return "" if 0 <= number < 1 else "a number from 0 to below 1"
    if key.endswith(("_eps", "_theta")):  # powers of the base of rotary positions are computed
        return "" if 0 < number < _HUGE else "a number above 0"
    is_finite = -_HUGE < number < _HUGE
    if isinstance(default, int):
        least = 1 if key in _COUNTS else -_HUGE
        is_whole = is_finite and number == int(number) and number >= least
        return "" if is_whole else "a whole number above 0" if key in _COUNTS else "a whole number"
    return "" if is_finite else "a finite number"


def _is_empty(value: object) -> bool:
    """Whether a value is null, an empty text, list or object, or an object of only such values."""
    values = value.values() if isinstance(value, Mapping) else (value,)
    return all(inner is None or inner in ("", [], {}) for inner in values)


def _check_no_code(file: Path, values: Mapping[str, object]) -> None:
    for key in _CODE_KEYS:
        if values.get(key):
            raise ModelError(
                f"{file} names code to run: {key} = {json.dumps(values[key])[:200]}. Expected a "
                f"checkpoint of a stock model type ({', '.join(BACKBONES)}) and tokenizer.",
                hint="edgeadapt does not run code from a checkpoint; none was run. If the "
                f"stock classes of transformers load it correctly, remove {key!r} from the file.",
            )
