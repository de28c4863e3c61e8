"""The ImageNet teacher's weights, de-quantised from its tflite file."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def dequantise(path: Path) -> list[tuple[Tensor, Tensor]]:
    """Every convolution in order as ``(weight OIHW, bias)``, batch norms folded; the last is the classifier.

    A uint8 tensor means ``scale * (value - zero)``; a bias has the product of the scales of input and weight.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    convolutions = []
    for op in interpreter._get_ops_details():
        if op["op_name"] not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            continue
        source, kernel, bias = (details[index] for index in op["inputs"])
        scale, zero = kernel["quantization"]
        values = (interpreter.get_tensor(kernel["index"]).astype(np.float32) - zero) * scale
        # a depthwise kernel is (1, h, w, C), any other (O, h, w, I)
        order = (3, 0, 1, 2) if op["op_name"].startswith("DEPTHWISE") else (0, 3, 1, 2)
        offsets = interpreter.get_tensor(bias["index"]).astype(np.float32) * (scale * source["quantization"][0])
        convolutions.append((torch.from_numpy(values.transpose(order).copy()), torch.from_numpy(offsets)))
    return convolutions


def read_class_names(path: Path) -> list[str]:
    """The first name of each of the 1,000 classes, without the background."""
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return [line.split(",")[0].strip().lower() for line in lines]
