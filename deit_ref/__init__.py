"""DeiT, written to be read, taught and trusted. The public names, in reading order."""

from deit_ref.api import compare, forward, gradients, preprocess
from deit_ref.chapters import CHAPTERS
from deit_ref.checkpoints import load_weights, save_weights
from deit_ref.config import DeiTConfig
from deit_ref.image_processing import ImageProcessing
from deit_ref.outputs import ClassificationOutput, FeaturesOutput, Gradients, MaskedImageOutput, TeacherOutput
from deit_ref.preparing import prepared
from deit_ref.trace import Trace
from deit_ref.variants import VARIANTS
from deit_ref.weights import DeiTWeights, init_weights

__version__ = "0.1.0"

__all__ = [
    "CHAPTERS",
    "VARIANTS",
    "ClassificationOutput",
    "DeiTConfig",
    "DeiTWeights",
    "FeaturesOutput",
    "Gradients",
    "ImageProcessing",
    "MaskedImageOutput",
    "TeacherOutput",
    "Trace",
    "compare",
    "forward",
    "gradients",
    "init_weights",
    "load_weights",
    "prepared",
    "preprocess",
    "save_weights",
]
