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
        "Passes over the data; 4, or 8 where everything is trained.",
        rule=at_least(1),
        metavar="N",
    )
    batch_size: int = option(32, "Examples per step; {default}.", rule=at_least(1), metavar="N")
    micro_batch_tokens: int | None = setting(
        None,
        "Most tokens, padding counted, that go through the model at once; a batch with more goes "
        "in parts, with the same gradients (pretraining's are the same on average). The device's "
        "own if left out.",
        rule=at_least(1),
    )
    learning_rate: float | None = option(
        None, "Peak rate; the method's own if left out.", rule=above(0), metavar="X"
    )
    head_rate: float = option(
        1.0,
        "The task head's learning rate over that of all else.",
        rule=above(0),
        metavar="X",
    )
    weight_decay: float = option(
        0.01,
        "Decay of weight matrices; {default}.",
        details="It is decoupled from the rate; biases and LayerNorms have none.",
        rule=at_least(0),
        metavar="X",
    )
    warmup: float = setting(
        0.1, "Share of all steps in which the rate rises to its peak.", rule=between(0, 1)
    )
    patience: int | None = option(
        None,
        "Stop after N epochs without a better validation accuracy, or as good a one with a "
        "smaller loss; never if left out.",
        rule=at_least(1),
        metavar="N",
    )
    label_smoothing: float = option(
        0.1, "Probability spread over all labels; {default}.", rule=FRACTION, metavar="X"
    )
    clip_norm: float = setting(
        1.0, "Gradients are scaled down to at most this norm.", rule=above(0)
    )
    seed: int = option(
        0,
        "Seeds initialization, shuffling and dropout; {default}.",
        details="`split_seed` seeds the splits.",
        rule=SEEDS,
        metavar="N",
    )
    device: Device = option(
        Device.AUTO,
        "Where to train; {default} if left out.",
        details="`auto` is CUDA where there is a GPU.",
    )
    precision: Precision = option(
        Precision.AUTO,
        "Numbers to compute in: auto is bf16 where the device is made for it, else fp32.",
        details="That is on GPUs, and on x86 CPUs with instructions for it: Zen 4, Sapphire "
        "Rapids and later.",
    )
    threads: int | None = option(
        None, "CPU threads; all cores if left out.", rule=at_least(1), metavar="N"
    )
    backbone_dropout: Dropout = setting(
        Dropout.ALL,
        "What drops out of the backbone's own layers while training, beside the adapters: all, as "
        "when it was pretrained; hidden, its hidden states but not its attention, which is faster; "
        "or none.",
    )
    quant_aware: bool = option(
        False,
        "Compute as the int8 model will, so that adapters and head make up for its rounding. With "
        "--adapter RUN --epochs 1 it finishes a run.",
    )
    compile: bool = option(
        False,
        "Run the model through torch.compile; pays on a GPU and long training.",
        details="Compiling takes a minute or more.",
    )
    activation_checkpointing: bool = option(
        False, "Run layers again on the way back: less memory, more time."
    )
    tensorboard: str | None = option(
        None,
        "Write what TensorBoard shows, while training, into a folder of the run's name there.",
        metavar="DIR",
    )
    memory_mb: int = setting(
        1024,
        "Most megabytes for the output of layers below all that is trained, which then run once.",
        rule=at_least(0),
    )
    checkpoint_steps: int = option(
        200,
        "Steps between states saved for --resume, {default}, beside those after each epoch.",
        details="0 saves those after each epoch alone.",
        rule=at_least(0),
        metavar="N",
    )
