"""Guide 003: a model as an ONNX file, traced with a zero image of the right size."""

import tempfile
from pathlib import Path

import rushlight as torch
from rushlight import onnx
from rushlight.vision.models import squeezenet1_1

torch.manual_seed(0)
model = squeezenet1_1().eval()
input_image = torch.zeros((1, 3, 224, 224))
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "model.onnx"
    onnx.export(model, input_image, path)
    print("more bytes than weights:", path.stat().st_size > 4 * sum(p.numel() for p in model.parameters()))
