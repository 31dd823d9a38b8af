"""``[training]``: the optimization."""

from dataclasses import dataclass

from edgeadapt.recipe.fields import FRACTION, SEEDS, above, at_least, between, option, setting
from edgeadapt.recipe.kinds import Device, Dropout, Precision

__all__ = ["TrainingConfig"]


@dataclass(frozen=True)
class TrainingConfig:
    """The optimization."""

    epochs: int | None = option(
        None,
        "Passes over the data (default: 4, with --method full 8).",
        rule=at_least(1),
        metavar="N",
    )
    batch_size: int = option(
        32, "Examples per step (default: {default}).", rule=at_least(1), metavar="N"
    )
    micro_batch_tokens: int | None = setting(
        None,
        "Most tokens, including padding, in one forward pass. A larger batch is split into parts "
        "and gradients are accumulated, with the same result (in pretraining on average). The "
        "default depends on the device.",
        rule=at_least(1),
    )
    learning_rate: float | None = option(
        None, "Peak learning rate (default: depends on --method).", rule=above(0), metavar="X"
    )
    head_rate: float = option(
        1.0,
        "Learning rate of the task head, as a multiple of --learning-rate.",
        rule=above(0),
        metavar="X",
    )
    weight_decay: float = option(
        0.01,
        "Weight decay (default: {default}).",
        details="It is that of AdamW; biases and LayerNorms are excluded.",
        rule=at_least(0),
        metavar="X",
    )
    warmup: float = setting(0.1, "Share of all steps for learning rate warmup.", rule=between(0, 1))
    patience: int | None = option(
        None,
        "Stop early after N epochs without improvement: a better validation accuracy, or an equal "
        "one with a smaller loss (default: never).",
        rule=at_least(1),
        metavar="N",
    )
    label_smoothing: float = option(
        0.1, "Probability spread over all labels (default: {default}).", rule=FRACTION, metavar="X"
    )
    clip_norm: float = setting(
        1.0, "Largest gradient norm; larger gradients are scaled down.", rule=above(0)
    )
    seed: int = option(
        0,
        "Seed for initialization, shuffling and dropout (default: {default}).",
        details="The splits have their own, `split_seed`.",
        rule=SEEDS,
        metavar="N",
    )
    device: Device = option(
        Device.AUTO,
        "Device to train on (default: {default}).",
        details="`auto` is CUDA if there is a GPU, else the CPU.",
    )
    precision: Precision = option(
        Precision.AUTO,
        "Number format: auto is bf16 where the device has instructions for it, else fp32.",
        details="bf16 is used on GPUs, and on x86 CPUs from Zen 4 and Sapphire Rapids on.",
    )
    threads: int | None = option(
        None, "CPU threads (default: all cores).", rule=at_least(1), metavar="N"
    )
    backbone_dropout: Dropout = setting(
        Dropout.ALL,
        "Dropout inside the backbone: all, as in its pretraining; hidden, of hidden states but not "
        "of the attention, which is faster; or none.",
    )
    quant_aware: bool = option(
        False,
        "Simulate int8 while training, so that adapters and head compensate for rounding. With "
        "--adapter RUN --epochs 1 it fine-tunes a finished run.",
    )
    compile: bool = option(
        False,
        "Use torch.compile; worth it for long training on a GPU.",
        details="Compilation takes a minute or more.",
    )
    activation_checkpointing: bool = option(
        False, "Recompute activations in the backward pass: less memory, more time."
    )
    tensorboard: str | None = option(
        None,
        "Write TensorBoard logs to a folder with the name of the run in DIR.",
        metavar="DIR",
    )
    memory_mb: int = setting(
        1024,
        "Most megabytes to cache the output of the frozen layers below the first trained one, so "
        "that these run only once.",
        rule=at_least(0),
    )
    checkpoint_steps: int = option(
        200,
        "Steps between checkpoints for --resume, besides one per epoch (default: {default}).",
        details="0 saves one per epoch only.",
        rule=at_least(0),
        metavar="N",
    )
