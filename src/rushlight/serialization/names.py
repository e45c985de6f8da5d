"""The names that PyTorch's files use, and what they are here.

A checkpoint names classes and functions: `torch._utils._rebuild_tensor_v2`, `torch.FloatStorage`,
`torch.nn.modules.conv.Conv2d`. Files written here use the same names, so that PyTorch reads them.
"""

from __future__ import annotations

import functools
import importlib

from .. import _dtypes

__all__ = ["Global", "STORAGES", "FOREIGN", "storage_name", "torch_name", "rushlight_object"]


class Global:
    """A name written into a pickle as it stands; not an object of this process."""

    def __init__(self, module: str, name: str):
        self.module, self.__name__ = module, name

    def __call__(self, *args):
        raise TypeError(f"{self.module}.{self.__name__} is only a name")

    def __repr__(self):
        return f"{self.module}.{self.__name__}"


@functools.cache
def torch_global(module: str, name: str) -> Global:
    """One object per name, so that a pickle's memo finds it again."""
    return Global(module, name)


# Storage classes in `torch`, by the dtype of their elements.
STORAGES = {f"{d.scalar_name}Storage": d for d in _dtypes.ALL}

# What PyTorch has and rushlight has not: element types by storage or dtype name, with their size in bytes.
FOREIGN = {
    "ComplexDoubleStorage": 16, "ComplexFloatStorage": 8, "QInt32Storage": 4, "QInt8Storage": 1, "QUInt8Storage": 1,
    "QUInt4x2Storage": 1, "QUInt2x4Storage": 1, "uint16": 2, "uint32": 4, "uint64": 8, "complex32": 4, "complex64": 8,
    "complex128": 16, "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1, "quint8": 1, "qint8": 1, "qint32": 4,
}  # fmt: skip

# PyTorch's file for each class, below `torch.`; ours may be arranged differently.
_HOMES = {
    "nn.modules.activation":
        "CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid LogSoftmax Mish "
        "MultiheadAttention PReLU RReLU ReLU ReLU6 SELU SiLU Sigmoid Softmax Softmax2d Softmin Softplus "
        "Softshrink Softsign Tanh Tanhshrink Threshold",
    "nn.modules.adaptive": "AdaptiveLogSoftmaxWithLoss",
    "nn.modules.batchnorm":
        "BatchNorm1d BatchNorm2d BatchNorm3d LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d SyncBatchNorm",
    "nn.modules.channelshuffle": "ChannelShuffle",
    "nn.modules.container": "Container ModuleDict ModuleList ParameterDict ParameterList Sequential",
    "nn.modules.conv":
        "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d LazyConv1d LazyConv2d "
        "LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d",
    "nn.modules.distance": "CosineSimilarity PairwiseDistance",
    "nn.modules.dropout": "AlphaDropout Dropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout",
    "nn.modules.flatten": "Flatten Unflatten",
    "nn.modules.fold": "Fold Unfold",
    "nn.modules.instancenorm":
        "InstanceNorm1d InstanceNorm2d InstanceNorm3d LazyInstanceNorm1d LazyInstanceNorm2d "
        "LazyInstanceNorm3d",
    "nn.modules.linear": "Bilinear Identity LazyLinear Linear",
    "nn.modules.linear_cross_entropy_options": "LinearCrossEntropyOptions",
    "nn.modules.loss":
        "BCELoss BCEWithLogitsLoss CTCLoss CosineEmbeddingLoss CrossEntropyLoss GaussianNLLLoss "
        "HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss LinearCrossEntropyLoss MSELoss MarginRankingLoss "
        "MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss NLLLoss2d PoissonNLLLoss "
        "SmoothL1Loss SoftMarginLoss TripletMarginLoss TripletMarginWithDistanceLoss",
    "nn.modules.module": "Module _WrappedHook",
    "nn.modules.normalization": "CrossMapLRN2d GroupNorm LayerNorm LocalResponseNorm RMSNorm",
    "nn.modules.padding":
        "CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d "
        "ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d ZeroPad1d "
        "ZeroPad2d ZeroPad3d",
    "nn.modules.pixelshuffle": "PixelShuffle PixelUnshuffle",
    "nn.modules.pooling":
        "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d "
        "AdaptiveMaxPool3d AvgPool1d AvgPool2d AvgPool3d FractionalMaxPool2d FractionalMaxPool3d LPPool1d "
        "LPPool2d LPPool3d MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d",
    "nn.modules.rnn": "GRU GRUCell LSTM LSTMCell RNN RNNBase RNNCell RNNCellBase",
    "nn.modules.sparse": "Embedding EmbeddingBag",
    "nn.modules.transformer":
        "Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer",
    "nn.modules.upsampling": "Upsample UpsamplingBilinear2d UpsamplingNearest2d",
    "optim._adafactor": "Adafactor",
    "optim.adadelta": "Adadelta",
    "optim.adagrad": "Adagrad",
    "optim.adam": "Adam",
    "optim.adamax": "Adamax",
    "optim.adamw": "AdamW",
    "optim.asgd": "ASGD",
    "optim.lbfgs": "LBFGS",
    "optim.lr_scheduler":
        "LRScheduler _LRScheduler _enable_get_lr_call _initial_mode LambdaLR MultiplicativeLR StepLR "
        "MultiStepLR ConstantLR LinearLR ExponentialLR SequentialLR PolynomialLR CosineAnnealingLR "
        "ChainedScheduler ReduceLROnPlateau CyclicLR CosineAnnealingWarmRestarts _SchedulePhase OneCycleLR",
    "optim.nadam": "NAdam",
    "optim.optimizer": "Optimizer",
    "optim.radam": "RAdam",
    "optim.rmsprop": "RMSprop",
    "optim.rprop": "Rprop",
    "optim.sgd": "SGD",
    "optim.sparse_adam": "SparseAdam",
    "optim.swa_utils": "AveragedModel",
    "utils.data.dataset": "TensorDataset Dataset Subset ConcatDataset",
    "nn.parallel.data_parallel": "DataParallel",
    "nn.parameter": "Parameter Buffer UninitializedParameter UninitializedBuffer",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

_PACKAGE = __name__.split(".")[0]


def storage_name(dtype) -> Global:
    return torch_global("torch", f"{dtype.scalar_name}Storage")


def torch_name(cls) -> Global | None:
    """What PyTorch calls a class or function of this package; None for anything else."""
    module = getattr(cls, "__module__", None) or ""
    name = getattr(cls, "__qualname__", "")
    if module != _PACKAGE and not module.startswith(_PACKAGE + "."):
        return None
    path = module[len(_PACKAGE) + 1 :]
    if name in ("Tensor", "Size", "device"):
        return torch_global("torch", name)
    part = path.split(".")[0]
    home = _HOME.get(name)
    if home is not None and home.split(".")[0] == part:
        return torch_global(f"torch.{home}", name)
    if part in ("nn", "optim", "utils", "distributions"):
        return torch_global(f"torch.{path}", name)
    return None


def rushlight_object(module: str, name: str):
    """What `module.name` of PyTorch is here.

    Raises: AttributeError if there is no such thing.
    """
    path = "" if module == "torch" else module.removeprefix("torch.")
    if name in _HOME and path.startswith(("nn.", "optim.", "utils.")):
        path = {"nn": "nn", "optim": "optim", "utils": "utils.data"}[path.split(".")[0]]
        if _HOME[name] == "optim.lr_scheduler":
            path = "optim.lr_scheduler"
    if path in ("_tensor", "tensor"):
        path = ""
    try:
        found = importlib.import_module(f"{_PACKAGE}.{path}" if path else f"{_PACKAGE}.autograd.tensor")
        for part in name.split("."):
            found = getattr(found, part)
        return found
    except (ImportError, AttributeError):
        raise AttributeError(f"rushlight has no {module}.{name}") from None
