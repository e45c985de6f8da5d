"""Export to ONNX: the model is run, the ops that it calls are recorded and each is written as ONNX nodes."""

from .export import export as export

__all__ = ["export"]
