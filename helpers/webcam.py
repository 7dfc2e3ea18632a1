"""One photo of the webcam, in a notebook on this machine or in Colab."""

import base64
import io
import sys

import torch

from .photos import read_photo


def webcam_photo() -> torch.Tensor:
    """One photo of the webcam, uint8 (3, H, W): in Colab by the browser, elsewhere by OpenCV."""
    if "google.colab" in sys.modules:
        from google.colab.output import eval_js

        address = eval_js(COLAB_CAMERA)
        return read_photo(io.BytesIO(base64.b64decode(address.partition(",")[2])), "webcam")
    try:
        import cv2
    except ImportError:
        raise RuntimeError(
            "The webcam needs OpenCV here: pip install opencv-python-headless, or upload a photo."
        ) from None
    camera = cv2.VideoCapture(0)
    good, picture = camera.read()
    camera.release()
    if not good:
        raise RuntimeError(
            "No webcam answers on this machine: is one connected, and may Python use it? Or upload "
            "a photo."
        )
    return torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1)


COLAB_CAMERA = """(async () => {
  const video = document.createElement("video"), button = document.createElement("button");
  button.textContent = "take the photo";
  document.body.append(video, button);
  video.srcObject = await navigator.mediaDevices.getUserMedia({video: true});
  await video.play();
  await new Promise(resolve => button.onclick = resolve);
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  video.srcObject.getTracks().forEach(track => track.stop());
  video.remove(); button.remove();
  return canvas.toDataURL("image/jpeg", 0.9);
})()"""
