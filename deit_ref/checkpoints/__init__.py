"""Reading and writing checkpoint files; knows weights and config, no backend."""

from deit_ref.checkpoints.huggingface import save_weights
from deit_ref.checkpoints.load import load_weights

__all__ = ["load_weights", "save_weights"]
