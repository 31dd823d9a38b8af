"""``[training]``: the optimization."""

from dataclasses import dataclass

from edgeadapt.recipe.kinds import Device, Dropout, Precision

__all__ = ["TrainingConfig"]


@dataclass(frozen=True)
class TrainingConfig:
    """The optimization."""

    epochs: int | None = None
    """Passes over the training examples; the kind's tuned number where none is given."""
    batch_size: int = 32
    """Examples per optimizer step."""
    micro_batch_tokens: int | None = None
    """Most tokens, padding counted, that go through the model at once; a batch with more goes in
    parts, with the same gradients (pretraining's are the same on average). The device's own where
    none is given."""
    learning_rate: float | None = None
    """Peak rate of AdamW; the kind's tuned rate where none is given."""
    head_rate: float = 1.0
    """The task head's rate over that of all else."""
    weight_decay: float = 0.01
    """Decoupled decay of weight matrices (biases and LayerNorms have none)."""
    warmup: float = 0.1
    """Share of all steps in which the rate rises to its peak."""
    patience: int | None = None
    """Stop after so many epochs in a row without a better one; never where none is given."""
    label_smoothing: float = 0.1
    """Probability mass spread over all labels."""
    clip_norm: float = 1.0
    """Gradients are scaled down to at most this norm."""
    seed: int = 0
    """Seeds initialization, shuffling and dropout; ``data.split_seed`` seeds the splits."""
    device: Device = Device.AUTO
    """``auto`` is CUDA where there is a GPU."""
    precision: Precision = Precision.AUTO
    """``auto`` is bf16 on GPUs and on x86 CPUs with instructions for it (Zen 4, Sapphire Rapids and
    later)."""
    threads: int | None = None
    """CPU threads of torch; all cores where none is given."""
    backbone_dropout: Dropout = Dropout.ALL
    """What drops out of the backbone's own layers while training, beside the adapters."""
    quant_aware: bool = False
    """Whether the model computes as its int8 graph will, so that adapters make up for it."""
    compile: bool = False
    """Whether torch.compile makes faster code of the model, which takes a minute or more."""
    activation_checkpointing: bool = False
    """Whether layers are run again on the way back, which takes time and saves memory."""
    tensorboard: str | None = None
    """Folder for TensorBoard's event files; none are written where none is given."""
    memory_mb: int = 1024
    """Most megabytes for the output of layers below all that is trained, which then run once."""
    checkpoint_steps: int = 200
    """Steps between two saved states, beside those at the ends of epochs; 0 for these alone."""
