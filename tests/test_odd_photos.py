"""Whatever people bring: one odd file costs the others nothing, and none is dropped silently."""

import io
import os
import warnings

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image
from skimage.data import astronaut

from helpers import alignment, commands, detection
from helpers.__main__ import main
from helpers.aligned_set import build_aligned_set, read_images, read_rows
from helpers.course import save_model
from helpers.detection import find_faces, smallest_face
from helpers.encoders import Encoder
from helpers.enrolment import enrol_folder
from helpers.faces import folder_of_people
from helpers.file_fingerprints import file_fingerprints
from helpers.files import short_name
from helpers.folders import look_into, short_names
from helpers.forget import forget
from helpers.gallery import Gallery, name_or_unknown
from helpers.photo_names import person_in
from helpers.photos import PhotoError, guard, in_pieces, read_photo, together_or_alone
from helpers.pipeline import FacePipeline
from helpers.settings import load_settings
from helpers.verification import Verifier


def picture(photo):
    return Image.fromarray(photo.permute(1, 2, 0).numpy())


@pytest.fixture
def people(tmp_path, some_orl):
    """Three people with two uncompressed photos each, all of one size in bytes and one time."""
    for i in (0, 1, 4, 5, 8, 9):
        path = tmp_path / "people" / f"p{some_orl.labels[i]}" / f"{i % 4}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(some_orl.photo(i)).save(path)
        os.utime(path, (1e9, 1e9))
    return tmp_path / "people"


@pytest.fixture(scope="module")
def pipeline():
    torch.manual_seed(0)
    return FacePipeline(None, Encoder("resnet10_small", 16, 32).eval())


# ---- one picture


def test_no_picture_starts_another_program(tmp_path, monkeypatch):
    monkeypatch.setattr(
        EpsImagePlugin, "Ghostscript", lambda *_: pytest.fail("Ghostscript was started")
    )
    data = io.BytesIO()
    Image.new("RGB", (30, 30)).save(data, "EPS")
    for name in ("photo.jpg", "photo.eps", "photo"):
        (tmp_path / name).write_bytes(data.getvalue())
        with pytest.raises(PhotoError, match="PostScript"):
            read_photo(tmp_path / name)


def test_brightness_depends_on_the_depth_not_on_the_brightest_pixel(tmp_path):
    dark = np.full((20, 20), 200, np.uint16)
    Image.fromarray(dark).save(tmp_path / "dark.png")
    assert read_photo(tmp_path / "dark.png").max() == 1  # 200 of 65,535
    Image.fromarray(np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)).save(
        tmp_path / "float.tif"
    )
    assert read_photo(tmp_path / "float.tif").max() == 255
    for number, values in enumerate(
        (np.full((9, 9), 300, np.int32), np.full((9, 9), np.nan, np.float32))
    ):
        Image.fromarray(values).save(tmp_path / f"{number}.tif")
        with pytest.raises(PhotoError, match="8 or 16 bits"):
            read_photo(tmp_path / f"{number}.tif")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_grey(tmp_path, mode):
    Image.new("RGBA", (9, 9), (255, 0, 0, 0)).convert(mode).save(tmp_path / "clear.png")
    assert (read_photo(tmp_path / "clear.png").int() - 128).abs().max() <= 1


@pytest.mark.parametrize(
    "name,form",
    [
        ("a.jfif", "JPEG"),
        ("a.JPE", "JPEG"),
        ("a.avif", "AVIF"),
        ("a.jp2", "JPEG2000"),
        ("a.png", "JPEG"),
        ("a.pbm", "PPM"),
        ("a.apng", "PNG"),
        ("a.mpo", "MPO"),
    ],
)
def test_endings_that_pillow_reads_are_read_whatever_is_in_them(tmp_path, name, form):
    if form not in Image.SAVE:
        pytest.skip(f"this Pillow has no {form}")
    Image.new("RGB", (30, 20), "red").save(tmp_path / name, form)
    [path], notes = look_into(tmp_path)
    assert read_photo(path).shape == (3, 20, 30) and not notes


def test_the_sentence_names_the_true_cause(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "link.jpg").symlink_to("gone.jpg")
    for name, start in (
        ("page.jpg", b"<!DOCTYPE html>"),
        ("a.heic.jpg", b"\0\0\0\x18ftypheic"),
        ("b.jpg", b"PK\3\4"),
    ):
        (tmp_path / name).write_bytes(start + b"\0" * 50)
    for name, cause in (
        ("pipe.jpg", "a pipe"),
        ("empty.jpg", "empty"),
        ("folder.jpg", "a folder"),
        ("page.jpg", "web page"),
        ("link.jpg", "a link to gone.jpg"),
        ("a.heic.jpg", "pip install pillow-heif"),
        ("b.jpg", "zip"),
        ("none.jpg", "no such file"),
        ("*.jpg", "pattern"),
        ("x" * 300, "too long"),
        ("a\0b", "null"),
    ):
        with pytest.raises(PhotoError, match=cause):
            read_photo(tmp_path / name)


# ---- detection


@pytest.mark.parametrize("height", [1, 2, 12, 15, 31, 33, 63])
@pytest.mark.parametrize("width", [1, 14, 30, 64, 2000])
@pytest.mark.parametrize("largest", [True, False])
def test_photos_of_every_size_go_through_detection(height, width, largest):
    [found] = find_faces(
        [torch.randint(0, 256, (3, height, width), dtype=torch.uint8)], largest=largest
    )
    assert found.boxes.shape == (len(found), 4)


def test_a_photo_on_its_side_is_found_and_aligned_like_the_upright_one(pipeline):
    upright = torch.from_numpy(astronaut()).permute(2, 0, 1)[:, :380]
    dark = torch.nn.functional.pad(upright, (0, 100))  # not square
    [[straight]] = pipeline([dark])
    for turn in (1, 2, 3):
        lying = torch.rot90(dark, turn, (1, 2)).contiguous()
        [[face]] = pipeline([lying])
        eyes = torch.zeros(dark.shape[1:])
        for x, y in straight.landmarks[:2].round().astype(int):
            eyes[y, x] = 1
        there = (
            torch.rot90(eyes, turn, (0, 1)).nonzero().flip(1)
        )  # where they lie on the turned photo
        assert np.abs(np.sort(face.landmarks[:2], 0) - np.sort(there.numpy(), 0)).max() < 12, turn


def test_a_small_face_on_a_large_photo_is_found_at_the_second_look_or_its_size_is_told():
    small = torch.nn.functional.interpolate(
        torch.from_numpy(astronaut()).permute(2, 0, 1)[None],
        scale_factor=0.45,
        mode="bilinear",
        antialias=True,
    )[0]
    wall = torch.full((3, 3000, 4000), 120, dtype=torch.uint8)
    wall[:, 600 : 600 + small.shape[1], 1900 : 1900 + small.shape[2]] = small
    assert len(detection.detect([wall])[0]) == 0, "else there is nothing to look at again"
    [found] = find_faces([wall])
    assert len(found) == 1 and 1950 < found.boxes[0, 0] < 2150
    assert smallest_face(1000) == 20 and smallest_face(8192) == 80


# ---- loops over photos


def test_one_photo_takes_none_of_the_others_with_it():
    def work(photos):
        if any(photo.min() == 7 for photo in photos):
            raise RuntimeError("torch.cat(): expected a non-empty list of Tensors")
        return [int(photo.max()) for photo in photos]

    photos, bad = [torch.full((3, 4, 4), n, dtype=torch.uint8) for n in (5, 7, 9)], {}
    assert together_or_alone(work, photos, ["a", "b", "c"], bad) == {"a": 5, "c": 9}
    assert list(bad) == ["b"] and bad["b"].startswith("b: left out: torch.cat()")
    told = []
    for error in (
        MemoryError(),
        OSError(36, "File name too long"),
        KeyError("EXIF"),
        PhotoError("ours"),
    ):
        with guard("photo", told.append):
            raise error
    assert told == [
        "photo: left out: there is not enough memory for it.",
        "photo: left out: file name too long.",
        "photo: left out: 'EXIF' (KeyError).",
        "ours",
    ]
    with pytest.raises(OSError), guard("photo", told.append):
        raise OSError(28, "No space left on device")


def test_pieces_are_cut_by_pixels():
    sizes = [10, 10, 30, 10, 10, 200, 10]

    def read(i):
        if i == 3:
            raise MemoryError
        return torch.zeros(3, 1, sizes[i], dtype=torch.uint8)

    pieces = list(in_pieces(read, range(7), pixels=50))
    assert [kept for _, kept, _ in pieces] == [[0, 1, 2], [4], [5], [6]]
    assert [i for _, _, bad in pieces for i in bad] == [3]
    for most in (1, 2, 3, 4):  # a bad photo may end a piece, or begin one
        pieces = list(in_pieces(read, range(7), most=most))
        assert sorted(i for _, kept, bad in pieces for i in (*kept, *bad)) == list(range(7))
        assert max(len(kept) + len(bad) for _, kept, bad in pieces) <= most


def test_every_photo_of_a_folder_is_taken_or_told(tmp_path):
    for name in (
        "2024/1.jpg",
        "2024/summer/2.JPG",
        "1.png",
        "1.jpg",
        "a01.png",
        "a1.png",
        "IMG.HEIC",
        "x.tga",
        "notes.txt",
        ".hidden.jpg",
        "._1.jpg",
        "@eaDir/1.jpg",
        "__MACOSX/1.jpg",
        "Thumbs.db",
        "@ada/3.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "2024" / "loop").symlink_to(tmp_path)
    pictures, [note] = look_into(tmp_path)
    assert {file.relative_to(tmp_path).as_posix() for file in pictures} == {
        "2024/1.jpg",
        "2024/summer/2.JPG",
        "1.png",
        "1.jpg",
        "a01.png",
        "a1.png",
        "@ada/3.jpg",
    }
    assert "1 .heic (pip install pillow-heif), 1 .tga" in note
    names = short_names(pictures, tmp_path)
    assert len(set(names)) == 7 and "1.png" in names and "2024/1" in names


def test_no_name_is_like_another_and_none_too_long():
    names = ["я" * 120 + end for end in ("a", "b")] + ["a/b", "a_b", "a"]
    short = [short_name(name) for name in names]
    assert len(set(short)) == 5 and all(
        len(name.encode()) <= 150 and "/" not in name for name in short
    )


@pytest.mark.parametrize(
    "name",
    [
        "IMG_0001",
        "IMG_20230101_123456",
        "DSC_12",
        "DSCN0001_1",
        "PXL_20230101_123456789",
        "_MG_1234",
        "20230101_123456",
        "image_1",
        "Photo_3",
        "P1010001_2",
        "SAM_0001",
        "FB_IMG_1699999999",
    ],
)
def test_a_cameras_name_claims_nobody(name):
    assert person_in(name) == name


def test_names_of_people_are_still_names():
    assert [
        person_in(name)
        for name in ("ada_1", "sam_2", "100_1", "P_1", "2024/ada_3", "ada_1.png", "imgard_2")
    ] == ["ada", "sam", "100", "P", "ada", "ada", "imgard"]


# ---- what is remembered


def swap(a, b):
    """Exchange two files without a change of size or time of either."""
    whole = a.read_bytes(), b.read_bytes()
    for path, data in zip((b, a), whole):
        path.write_bytes(data)
        os.utime(path, (1e9, 1e9))


def test_a_fingerprint_knows_a_replaced_file_of_the_same_size_and_time(tmp_path):
    for name, data in (("a", b"12"), ("b", b"34")):
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (1e9, 1e9))
    files = [tmp_path / "a", tmp_path / "b", tmp_path / "gone"]
    before = file_fingerprints(files, tmp_path / "table.csv")
    assert (
        before == file_fingerprints(files, tmp_path / "table.csv")
        and before[2] == ""
        and before[0] != before[1]
    )
    swap(*files[:2])
    assert file_fingerprints(files, tmp_path / "table.csv") == [before[1], before[0], ""]
    (tmp_path / "a").rename(tmp_path / "c")  # times and inodes go along
    (tmp_path / "b").rename(tmp_path / "a")
    (tmp_path / "c").rename(tmp_path / "b")
    assert file_fingerprints(files, tmp_path / "table.csv") == before


def test_swapped_photos_swap_their_faces_in_sets_and_galleries(tmp_path, people, pipeline):
    def both():
        faces = build_aligned_set(
            folder_of_people(people), None, tmp_path / "set", "MTCNN", progress=False
        )
        known = enrol_folder(pipeline, folder_of_people(people), tmp_path / "gallery.safetensors")
        return (
            dict(zip(faces.keys, read_images(faces, tmp_path / "set")[:])),
            {source.split()[0]: e for source, e in zip(known.sources, known.embeddings)},
        )

    faces, known = both()
    swap(people / "p0" / "0.bmp", people / "p1" / "0.bmp")
    other_faces, other_known = both()
    for old, new in ((faces, other_faces), (known, other_known)):
        a, b, c, a2, b2, c2 = (
            np.float32(s[key]) for s in (old, new) for key in ("p0/0.bmp", "p1/0.bmp", "p2/0.bmp")
        )
        scale = np.abs(a - b).mean()
        assert (
            np.abs(a - b2).mean() < scale / 20
            and np.abs(b - a2).mean() < scale / 20
            and np.allclose(c, c2)
        )


def test_who_is_gone_leaves_every_cache(tmp_path, people, pipeline):
    def both():
        faces = build_aligned_set(
            folder_of_people(people), None, tmp_path / "set", "MTCNN", progress=False
        )
        return read_images(faces, tmp_path / "set"), enrol_folder(
            pipeline, folder_of_people(people), tmp_path / "g.safetensors"
        )

    both()
    for path in (people / "p1").iterdir():
        path.unlink()
    (people / "p1").rmdir()
    images, known = both()
    assert len(images.array) == 4 and set(known.people) == {"p0", "p2"}
    assert not (tmp_path / "set" / "p1").exists() and not [
        row for row in read_rows(tmp_path / "set") if row["person"] == "p1"
    ]
    for path in tmp_path.rglob("*.csv"):
        assert "p1" not in path.read_text(), path
    assert set(Gallery.load(tmp_path / "g.safetensors").people) == {"p0", "p2"}


def test_photos_without_a_face_are_looked_at_once(tmp_path, people, pipeline):
    for k in range(3):
        Image.new("RGB", (90, 90), (k, 90, 90)).save(people / "p0" / f"wall{k}.png")
    told, path = [], tmp_path / "g.safetensors"
    enrol_folder(pipeline, folder_of_people(people), path, told.append)
    assert sum("no face was found" in sentence for sentence in told) == 3

    def never(*_, **__):
        pytest.fail("looked at again")

    never.encoder, never.hourglass, told = pipeline.encoder, pipeline.hourglass, []
    assert len(enrol_folder(never, folder_of_people(people), path, told.append)) == 6
    assert len(told) == 1 and "3 of 9 photos show no face" in told[0]


@pytest.mark.parametrize(
    "part,name,value",
    [
        (alignment, "WIDEN", 1.6),
        (alignment, "HEAD", 160),
        (alignment, "WORST_FIT", 9),
        (alignment, "REFERENCE", None),
        (detection, "MAX_SIDE", 512),
        (detection, "MIN_SCORE", 0.8),
    ],
)
def test_everything_that_shapes_an_aligned_face_belongs_to_its_maker(
    monkeypatch, part, name, value
):
    before = alignment.geometry()
    monkeypatch.setattr(part, name, alignment.REFERENCE + 1 if value is None else value)
    assert alignment.geometry() != before


def test_several_faces_in_one_photo_are_told(tmp_path, people, some_orl, pipeline):
    both = torch.full((3, 168, 336), 90, dtype=torch.uint8)
    both[:, :, :168], both[:, 20:148, 200:328] = (
        some_orl.photo(0),
        some_orl.photo(5)[:, 20:148, 20:148],
    )
    picture(both).save(people / "p0" / "party.png")
    told = []
    enrol_folder(pipeline, folder_of_people(people), tmp_path / "g.safetensors", told.append)
    build_aligned_set(
        folder_of_people(people), None, tmp_path / "set", "MTCNN", progress=False, tell=told.append
    )
    assert any("party.png: 2 faces, of which the largest is taken" in sentence for sentence in told)
    assert any(
        "1 of 7 photos show several faces" in sentence and "party.png" in sentence
        for sentence in told
    )


def test_people_nested_folders_and_systems_folders(tmp_path, people):
    for name in (
        "p0/2024/0.bmp",
        "@eaDir/1.bmp",
        "__MACOSX/p0/1.bmp",
        "p0/._1.bmp",
        "empty/notes.txt",
        "loose.jpg",
        "only/1.heic",
    ):
        (people / name).parent.mkdir(parents=True, exist_ok=True)
        (people / name).write_bytes((people / "p0" / "0.bmp").read_bytes())
    faces = folder_of_people(people)
    assert "p0/2024/0.bmp" in faces.keys and len(set(faces.keys)) == len(faces) == 7
    assert set(np.array(faces.names)[faces.labels]) == {"p0", "p1", "p2"}
    notes = " ".join(faces.notes)
    for words in (
        "folders below (2024)",
        "loose.jpg",
        "no photo of empty, only",
        "1 .heic (pip install pillow-heif)",
    ):
        assert words in notes, words
    aligned = build_aligned_set(faces, None, tmp_path / "set", "MTCNN", progress=False)
    assert set(aligned.keys) == set(faces.keys)


def test_a_person_may_be_called_as_anything(tmp_path, people, pipeline):
    for old, new in (("p0", "unknown"), ("p1", "debug"), ("p2", "я" * 120)):
        (people / old).rename(people / new)
    (people / ("я" * 120) / "0.bmp").rename(people / ("я" * 120) / ("ж" * 120 + ".bmp"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        faces = build_aligned_set(
            folder_of_people(people), None, tmp_path / "set", "MTCNN", progress=False
        )
        known = enrol_folder(pipeline, folder_of_people(people), tmp_path / "g.safetensors")
    assert len(faces) == len(known) == 6 and set(faces.names) == {"unknown", "debug", "я" * 120}
    names, _ = known.identify(known.embeddings[known.people.index("unknown")][None], 0.5)
    nobody, _ = known.identify(-known.embeddings[:1], 0.99)
    assert (
        names[0] == "unknown"
        and nobody[0] is None
        and name_or_unknown(names[0]) != name_or_unknown(nobody[0])
    )


# ---- commands


@pytest.fixture
def course_folder(tmp_path, people, monkeypatch, pipeline):
    """The working directory of a user: people/, and an encoder with thresholds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACES_HOURGLASS", "mtcnn")
    verifier = Verifier([1e-3, 0.1], [0.99999, -1.0], 10.0, -5.0, 50, 100_000)
    save_model(pipeline.encoder, "mine.safetensors", verifier=verifier.to_text())
    return tmp_path


def run(capsys, *words):
    code = main([*map(str, words), "--encoder", "mine.safetensors"])
    out = capsys.readouterr()
    return code, out.out + out.err


@pytest.mark.parametrize(
    "error",
    [RuntimeError("CUDA driver"), MemoryError(), KeyError("a"), AssertionError(), OSError()],
)
def test_a_crash_is_never_a_verdict(course_folder, capsys, monkeypatch, error):
    photos = ["people/p0/0.bmp", "people/p1/0.bmp"]
    monkeypatch.setattr(commands, "verify", lambda *_: (_ for _ in ()).throw(error))
    code, said = run(capsys, "predict", *photos)
    assert code == 2 and said.strip() and "Traceback" not in said
    assert "Traceback" in run(capsys, "predict", *photos, "--debug")[1]


@pytest.mark.parametrize("device", ["cpu:x", "cpu:1", "cuda:x", "gpu", ""])
def test_a_device_that_is_none_is_refused_by_name(device):
    with pytest.raises(ValueError, match="FACES_DEVICE is"):
        load_settings({"FACES_DEVICE": device})


def test_evaluate_and_map_tell_what_they_left_out(course_folder, capsys):
    for name in ("junk.jpg", "wall.png", "far.heic"):
        (course_folder / "people" / "p0" / name).write_bytes(b"no picture")
    Image.new("RGB", (90, 90)).save(course_folder / "people" / "p0" / "wall.png")
    for command in ("map", "evaluate"):
        code, said = run(capsys, command, "people")
        assert (
            code == 0
            and "2 of 8 photos are left out: p0/junk (" in said
            and "wall.png (MTCNN sees no face)" in said
        )
        assert "1 .heic (pip install pillow-heif)" in said


def test_names_of_any_bytes_go_through_every_command(course_folder, capsys):
    odd = [
        "ж" * 120 + ".bmp",
        os.fsdecode(b"caf\xe9.bmp"),
        "a\nb\x1b[31m.bmp",
        "-x.bmp",
        "😀 小明.bmp",
        "$\\frac.bmp",
    ]
    for name in odd:
        (course_folder / "people" / "p0" / name).write_bytes(
            (course_folder / "people" / "p0" / "0.bmp").read_bytes()
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*[Gg]lyph.*")
        for words in (
            ["arrange", "people/p0"],
            ["map", "people"],
            ["identify", "--gallery", "people", "--"] + [f"people/p0/{name}" for name in odd],
        ):
            code, said = (
                run(capsys, *words[:1], *words[1:])
                if "--" not in words
                else (
                    main([words[0], "--encoder", "mine.safetensors", *words[1:]]),
                    "".join(capsys.readouterr()),
                )
            )
            assert code == 0 and "left out:" not in said and "\x1b" not in said, said
    assert len(list((course_folder / "outputs" / "identify").glob("*.png"))) == len(odd)


def test_forgetting_a_person_leaves_nothing_of_them(course_folder, capsys):
    for words in (
        ["identify", "--gallery", "people", "people/p0/0.bmp"],
        ["map", "people"],
        ["arrange", "people/p1"],
    ):
        assert run(capsys, *words)[0] == 0
    code, said = run(capsys, "forget", "p1")
    assert code == 0 and "2 photos of p1 forgotten" in said and "yours to delete" in said
    left = [
        path
        for folder in ("outputs", "data")
        for path in (course_folder / folder).rglob("*")
        if path.is_file()
    ]
    assert left and not [
        path
        for path in left
        if b"p1/" in path.read_bytes() or "p1" in path.parts or path.suffix == ".png"
    ]
    assert not list((course_folder / "data").rglob("faces.npy"))
    assert set(Gallery.load(next((course_folder / "outputs").rglob("*.safetensors"))).people) == {
        "p0",
        "p2",
    }
    code, said = run(capsys, "forget", "nobody")
    assert code == 2 and "nothing of a person called 'nobody'" in said


@pytest.mark.parametrize("name", ["", " ", ".", "..", "../..", "p0/..", "/"])
def test_forgetting_nobody_in_particular_deletes_nothing(course_folder, name):
    aligned = course_folder / "data" / "aligned" / "somebody_listed"
    (aligned / "p0").mkdir(parents=True, exist_ok=True)
    (aligned / "p0" / "face.png").write_bytes(b"face")
    with pytest.raises(ValueError, match="no person's name"):
        forget(name, course_folder / "data", course_folder / "runs", course_folder / "outputs")
    assert (aligned / "p0" / "face.png").exists()


def test_a_link_to_a_folder_above_enrols_nobody_elses_photos(tmp_path):
    for name in ("ada", "bob"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (9, 9)).save(tmp_path / name / "1.png")
    (tmp_path / "ada" / "up").symlink_to(tmp_path)
    people = folder_of_people(tmp_path)
    assert people.labels.tolist() == [0, 1]
    assert any("a link to a folder above" in note for note in people.notes)
