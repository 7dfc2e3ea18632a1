"""What notebooks take as `recognition.…`, in one place; the imports say where each is written."""

from .aligned_data import RecognitionData, aligned_faces, recognition_data, unseen_faces
from .comparison import FPR, comparison, difference, effort, labelled, over_seeds, shown
from .evaluation import classified, figures, held_out_figures, raw_pixels, unseen_figures
from .recognisers import recogniser, train_recogniser, trained_recogniser
from .studies import study

__all__ = [
    "FPR",
    "RecognitionData",
    "aligned_faces",
    "classified",
    "comparison",
    "difference",
    "effort",
    "figures",
    "held_out_figures",
    "labelled",
    "over_seeds",
    "raw_pixels",
    "recogniser",
    "recognition_data",
    "shown",
    "study",
    "train_recogniser",
    "trained_recogniser",
    "unseen_faces",
    "unseen_figures",
]
