"""`from helpers import verify, identify`: photos of every kind in, a documented answer out."""

import subprocess
import sys
from dataclasses import FrozenInstanceError
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from helpers import __main__ as commands
from helpers import enrol, identify, verify
from helpers.encoders import Encoder
from helpers.photos import PhotoError
from helpers.pipeline import FacePipeline
from helpers.verification import Verifier
from helpers.who_is_who import Recogniser, as_photo


@pytest.fixture(scope="module")
def recogniser():
    torch.manual_seed(0)
    pipeline = FacePipeline(None, Encoder("resnet10_small", 32, 64).eval())
    return Recogniser(pipeline, Verifier([1e-3, 0.1], [0.9999, 0.9], 10.0, -5.0, 50, 100_000))


def test_paths_pictures_arrays_and_tensors_are_the_same_photo(recogniser, tmp_path):
    array = astronaut()
    Image.fromarray(array).save(tmp_path / "astronaut.png")
    kinds = [
        tmp_path / "astronaut.png",
        str(tmp_path / "astronaut.png"),
        Image.fromarray(array),
        array,
        torch.from_numpy(array).permute(2, 0, 1),
    ]
    for kind in kinds:
        found = verify(array, kind, fpr=0.1, recogniser=recogniser)
        assert found.same and found.similarity == pytest.approx(1, abs=1e-5)
        assert found.verdict == "the same person" and found.threshold == 0.9
        assert 0.5 < found.probability <= 1 and found.fpr == 0.1
    with pytest.raises(FrozenInstanceError):
        found.same = False


def test_a_grey_array_is_a_photo_and_what_is_none_is_refused_with_a_sentence(recogniser):
    grey = astronaut().mean(2).astype(np.uint8)
    assert verify(grey, grey, recogniser=recogniser).similarity > 0.999
    for wrong in (np.zeros((5, 5, 3)), np.zeros((5, 5, 7), np.uint8), 7, np.uint8(3)):
        with pytest.raises(PhotoError, match="A photo must be a path"):
            verify(wrong, grey, recogniser=recogniser)
    with pytest.raises(PhotoError, match="No face was found"):
        verify(np.full((90, 90, 3), 99, np.uint8), grey, recogniser=recogniser)


def test_identify_takes_a_dict_a_folder_or_a_gallery(recogniser, tmp_path, some_orl):
    first, other = some_orl.photo(0), some_orl.photo(5)
    for name, photo in (("ada", first), ("bob", other)):
        (tmp_path / name).mkdir()
        Image.fromarray(photo.permute(1, 2, 0).numpy()).save(tmp_path / name / "1.png")
    people = {"ada": first, "bob": [other]}
    for gallery in (people, tmp_path, enrol(people, recogniser)):
        [found] = identify(first, gallery, far=0.1, recogniser=recogniser)
        assert found.name == found.nearest == "ada" and found.similarity > found.threshold
        left, top, right, bottom = found.box
        assert 0 < right - left < 200 and 0 < bottom - top < 200
    [found] = identify(astronaut(), people, far=0.002, recogniser=recogniser)
    assert found.name is None and found.nearest in people
    wall = torch.full((3, 90, 90), 99, dtype=torch.uint8)
    assert identify(wall, people, recogniser=recogniser) == []
    with pytest.raises(ValueError, match="nobody is enrolled"):
        enrol({}, recogniser)


def test_a_face_that_was_found_is_not_looked_for_again(recogniser):
    [[face]] = recogniser.pipeline([torch.from_numpy(astronaut()).permute(2, 0, 1)])
    blind = Recogniser(SimpleNamespace(encoder=recogniser.pipeline.encoder), recogniser.verifier)
    assert verify(face, face, recogniser=blind).similarity == pytest.approx(1)


def test_importing_helpers_and_asking_for_help_import_no_heavy_package():
    code = (
        "import sys, contextlib, helpers, helpers.__main__ as commands\n"
        "with contextlib.suppress(SystemExit): commands.main(['--help'])\n"
        "print(sorted({'torch', 'numpy', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("missing", ["numpy", "torch"])
def test_a_package_that_is_missing_ends_in_a_sentence_and_code_2(missing):
    words = ["arrange", ".", "--fpr", "0.1"]
    code = f"import sys; sys.modules[{missing!r}] = None\nfrom helpers.__main__ import main\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}sys.exit(main({words}))"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "requirements.txt" in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", sorted(commands.COMMANDS))
def test_every_command_has_a_function(name, monkeypatch):
    from helpers import commands as functions

    words = {"predict": ["a", "b"], "identify": ["--gallery", "g", "a"]}.get(name, ["a"])
    for needed in ("load_encoder", "load_verifier", "hourglass"):
        monkeypatch.setattr(functions, needed, lambda *_: None)
    for function in ("predict", "arrange", "identify", "evaluate", "draw_map", "forget_person"):
        monkeypatch.setattr(functions, function, lambda *_, f=function: ({"of": f}, 0))
    result, _ = functions.run(commands.parse([name, *words]))
    assert result["of"] == {"map": "draw_map", "forget": "forget_person"}.get(name, name)


def test_a_picture_means_the_same_as_its_file(tmp_path):
    """Of 16 bits, transparent, turned by its EXIF data."""
    values = np.random.default_rng(0).integers(0, 65536, (40, 30)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "sixteen.png")
    rgba = np.random.default_rng(1).integers(0, 256, (40, 30, 4), np.uint8)
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    for name in ("sixteen.png", "clear.png"):
        with Image.open(tmp_path / name) as picture:
            assert torch.equal(as_photo(picture), as_photo(tmp_path / name)), name


def test_what_is_no_photo_is_described_as_it_came(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (40, 30)).astype(np.uint8)
    for wrong, words in (
        (np.zeros((0, 0, 3), np.uint8), "shape (0, 0, 3)"),
        (np.zeros((40, 30, 3)), "float64 of shape (40, 30, 3)"),
        (np.zeros((40, 30, 4), np.uint8), "uint8 of shape (40, 30, 4)"),
        (torch.zeros(40, 30, 3), "float32 of shape (40, 30, 3)"),
    ):
        with pytest.raises(PhotoError) as caught:
            as_photo(wrong)
        assert words in str(caught.value)
    Image.fromarray(grey).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:600])
    with Image.open(tmp_path / "cut.png") as picture, pytest.raises(PhotoError, match="be read"):
        as_photo(picture)


def test_a_gallery_that_is_none_is_named():
    for wrong, words in ((None, "NoneType"), ({}, "names nobody")):
        with pytest.raises(ValueError, match=words):
            enrol(wrong)
