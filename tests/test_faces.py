"""Photos of every kind are read, strange ones refused in a sentence; nobody is in two splits."""

import numpy as np
import pytest
from PIL import Image

from helpers import faces as face_sets
from helpers import photos as photo_files
from helpers import tables
from helpers.faces import LANDMARK_COLUMNS, load_faces, photos_with_landmarks
from helpers.photos import PhotoError, read_photo


def test_orl_is_whole_and_upright():
    faces = load_faces("orl")
    assert len(faces) == 400 and len(faces.names) == 40
    assert np.bincount(faces.labels).tolist() == [10] * 40
    assert faces.names[:3] == ["s1", "s2", "s3"] and faces.key(9) == "s1/10.pgm"
    assert faces.photo(0).shape == (3, 168, 168)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_kind_of_picture_becomes_rgb_bytes(tmp_path, mode):
    values = np.linspace(0, 255, 40 * 30).reshape(40, 30).astype(np.uint8)
    if mode == "I;16":
        picture = Image.fromarray(values.astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(values).convert("RGB").convert(mode)
    path = tmp_path / ("photo.tif" if mode in ("CMYK", "I;16") else "photo.png")
    picture.save(path)
    photo = read_photo(path)
    assert photo.shape == (3, 40, 30) and str(photo.dtype) == "torch.uint8"
    # still dark above, bright below
    assert photo[:, -10:].float().mean() > photo[:, :10].float().mean() + 100


def test_exif_rotation_is_obeyed(tmp_path):
    picture = Image.new("RGB", (30, 40))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert read_photo(tmp_path / "turned.jpg").shape == (3, 30, 40)


def test_what_is_no_picture_is_refused_in_a_sentence(tmp_path):
    whole = tmp_path / "whole.jpg"
    Image.effect_noise((200, 200), 80).save(whole)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:2000])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("cut.jpg", "text.jpg", "empty.png", "missing.jpg"):
        with pytest.raises(PhotoError, match=name.replace(".", r"\.")):
            read_photo(tmp_path / name)


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    Image.new("L", (300, 300)).save(tmp_path / "huge.png")
    monkeypatch.setattr(photo_files, "MAX_PIXELS", 10_000)
    with pytest.raises(PhotoError, match="make it smaller"):
        read_photo(tmp_path / "huge.png")


def test_wrong_datasets_name_the_choices(tmp_path):
    with pytest.raises(ValueError, match="orl, lfw, celeba"):
        load_faces("olr")
    with pytest.raises(ValueError, match="holds no photos"):
        load_faces(str(tmp_path))


@pytest.fixture(params=["official", "kaggle"])
def small_celeba(request, tmp_path, some_orl):
    """CelebA's files, made of 24 ORL photos.

    The official text tables, or Kaggle's CSV with the photos one folder deeper.
    """
    folder, kaggle = tmp_path / "celeba", request.param == "kaggle"
    photos = folder / "img_align_celeba" / ("img_align_celeba" if kaggle else "")
    photos.mkdir(parents=True)
    names = [f"{i + 1:06d}.jpg" for i in range(len(some_orl))]
    for i, name in enumerate(names):
        Image.fromarray(some_orl.photo(i).permute(1, 2, 0).numpy()).save(photos / name)
    (folder / "identity_CelebA.txt").write_text(
        "".join(f"{n} {100 + p}\n" for n, p in zip(names, some_orl.labels))
    )
    landmarks = [[name, *range(10)] for name in names]
    parts = [[name, int(i >= 16)] for i, name in enumerate(names)]
    if kaggle:
        parts_of_a_face = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
        header = "image_id," + ",".join(
            f"{part}_{axis}" for part in parts_of_a_face for axis in "xy"
        )
        (folder / "list_landmarks_align_celeba.csv").write_text(
            "\n".join([header, *(",".join(map(str, r)) for r in landmarks)])
        )
        (folder / "list_eval_partition.csv").write_text(
            "\n".join(["image_id,partition", *(f"{n},{p}" for n, p in parts)])
        )
    else:
        rows = ["  ".join(map(str, row)) for row in landmarks]
        header = " ".join(tables.CELEBA_LANDMARKS)
        (folder / "list_landmarks_align_celeba.txt").write_text(
            "\n".join([str(len(rows)), header, *rows])
        )
        (folder / "list_eval_partition.txt").write_text("\n".join(f"{n} {p}" for n, p in parts))
    return tmp_path


def test_celeba_in_both_layouts(small_celeba, some_orl):
    faces = load_faces("celeba", small_celeba)
    assert len(faces) == 24 and faces.names[0] == "100" and (faces.labels == some_orl.labels).all()
    assert faces.landmarks[0].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert faces.photo(23).shape == some_orl.photo(23).shape
    train, valid = (face_sets.celeba(small_celeba, part) for part in ("train", "valid"))
    assert (len(train), len(valid)) == (16, 8) and not set(train.names) & set(valid.names)
    with pytest.raises(ValueError, match="choose train, valid or test"):
        face_sets.celeba(small_celeba, "validation")


@pytest.mark.parametrize("table", ["identity_CelebA", "list_landmarks_align_celeba"])
def test_a_missing_table_of_celeba_is_named(small_celeba, table):
    next((small_celeba / "celeba").glob(f"{table}.*")).unlink()
    with pytest.raises(
        FileNotFoundError, match=f"{table}.txt is missing. Place these by hand in .*celeba"
    ):
        load_faces("celeba", small_celeba)


def test_a_used_up_quota_ends_in_instructions(tmp_path, monkeypatch, capsys):
    def no_more_today(*args, **kwargs):
        raise RuntimeError("Too many users have viewed or downloaded this file recently")

    monkeypatch.setattr(face_sets.torchvision.datasets, "CelebA", no_more_today)
    with pytest.raises(
        FileNotFoundError, match="Too many users.*Place these by hand in .*identity_CelebA.txt"
    ):
        load_faces("celeba", tmp_path)
    said = capsys.readouterr().out
    assert "1.4 GB" in said and "mmlab.ie.cuhk.edu.hk" in said and "non-commercial" in said


def test_lfw_is_read_where_it_lies_or_fetched(tmp_path, monkeypatch, capsys, some_orl):
    def fetched(data_home=None, **options):
        save_as_lfw(some_orl, tmp_path / "home" / "lfw_home" / "lfw")
        raise ValueError("min_faces_per_person=1000 is too restrictive")

    monkeypatch.setattr("sklearn.datasets.fetch_lfw_people", fetched)
    monkeypatch.setattr("sklearn.datasets.get_data_home", lambda: tmp_path / "home")
    assert len(load_faces("lfw", tmp_path)) == 24
    said = capsys.readouterr().out
    assert "200 MB" in said and "vis-www.cs.umass.edu" in said and "research" in said
    save_as_lfw(some_orl.subset(range(8)), tmp_path / "lfw")
    faces = load_faces("lfw", tmp_path)
    assert len(faces) == 8 and faces.names == ["s1", "s2"] and capsys.readouterr().out == ""


def save_as_lfw(faces, folder):
    for i in range(len(faces)):
        person = faces.names[faces.labels[i]]
        (folder / person).mkdir(parents=True, exist_ok=True)
        Image.fromarray(faces.photo(i).permute(1, 2, 0).numpy()).save(
            folder / person / f"{person}_{i:04d}.jpg"
        )


def test_lfw_out_of_reach_says_where_it_belongs(tmp_path, monkeypatch):
    def offline(**options):
        raise OSError("no network")

    monkeypatch.setattr("sklearn.datasets.fetch_lfw_people", offline)
    monkeypatch.setattr("sklearn.datasets.get_data_home", lambda: tmp_path / "home")
    with pytest.raises(FileNotFoundError, match="no network.*lfw.tgz by hand.*Aaron_Eckhart"):
        load_faces("lfw", tmp_path)


def test_top_people_have_the_most_photos(some_orl):
    # 2, 3, 3, 4, 4, 4 photos are left
    fewer = some_orl.subset([i for i in range(24) if i not in (0, 1, 4, 9)])
    assert np.unique(fewer.top_people(4).labels).tolist() == [1, 3, 4, 5]
    assert len(fewer.top_people(4)) == 15


HEADER = ",".join(["file", "split", *LANDMARK_COLUMNS])


def test_photos_with_landmarks(tmp_path):
    rows = [f"a/1.jpg,train,{','.join('0123456789')}", f"b/2.jpg,test,{','.join('9' * 10)}"]
    (tmp_path / "landmarks.csv").write_text("\n".join([HEADER, *rows]))
    faces = photos_with_landmarks(tmp_path, tmp_path / "landmarks.csv")
    assert faces.files == [
        tmp_path / "a" / "1.jpg",
        tmp_path / "b" / "2.jpg",
    ] and faces.labels.tolist() == [0, 1]
    assert faces.landmarks[0].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert (
        photos_with_landmarks(tmp_path, tmp_path / "landmarks.csv", "test").files == faces.files[1:]
    )
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").touch()
    # the folder one too deep
    assert photos_with_landmarks(tmp_path / "a", tmp_path / "landmarks.csv").files == faces.files


@pytest.mark.parametrize(
    "text,sentence",
    [
        (
            "file,split,left_eye_x\na.jpg,train,1\n",
            "has no column left_eye_y.*right_mouth_y: its first line must be file",
        ),
        (f"{HEADER}\na.jpg,train,1,2,3\n", "the line of a.jpg does not hold ten numbers"),
        (
            f"{HEADER}\na.jpg,train,{','.join('1' * 9)},wide\n",
            "the line of a.jpg does not hold ten numbers",
        ),
        (f"{HEADER}\na.jpg,test,{','.join('1' * 10)}\n", "holds no rows of the split train"),
    ],
)
def test_a_wrong_csv_of_landmarks_ends_in_a_sentence(tmp_path, text, sentence):
    (tmp_path / "landmarks.csv").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        photos_with_landmarks(tmp_path, tmp_path / "landmarks.csv", "train")


def celeba_files(folder, landmarks, identity=None, photos=4):
    """CelebA's folder with four photos, the given tables, and the official identities."""
    (folder / "celeba" / "img_align_celeba").mkdir(parents=True, exist_ok=True)
    for i in range(photos):
        Image.new("RGB", (9, 9)).save(folder / "celeba" / "img_align_celeba" / f"{i + 1:06d}.jpg")
    (folder / "celeba" / "identity_CelebA.txt").write_text(
        identity or "".join(f"{i + 1:06d}.jpg {i // 2}\n" for i in range(4))
    )
    (folder / "celeba" / "list_landmarks_align_celeba.csv").write_text(landmarks)
    return folder


def landmark_table(separator=",", quote="", order=1, index=False):
    columns = ["image_id", *tables.CELEBA_LANDMARKS][::order]
    rows = [[f"{i + 1:06d}.jpg", *range(10)][::order] for i in range(4)]
    lines = [[f"{quote}{field}{quote}" for field in row] for row in (columns, *rows)]
    if index:
        lines = [[str(i - 1) if i else "", *line] for i, line in enumerate(lines)]
    return "\n".join(separator.join(line) for line in lines) + "\n"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"separator": ";"},
        {"separator": "\t"},
        {"quote": '"'},
        {"order": -1},
        {"index": True},
        {"separator": ";", "quote": '"', "order": -1, "index": True},
    ],
)
def test_celebas_tables_are_read_by_their_header(tmp_path, options):
    faces = face_sets.celeba(celeba_files(tmp_path, landmark_table(**options)))
    assert faces.landmarks[3].tolist() == [
        [0, 1],
        [2, 3],
        [4, 5],
        [6, 7],
        [8, 9],
    ] and faces.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "table,sentence",
    [
        (
            "<!DOCTYPE html>\n<title>Quota exceeded</title>\n",
            "list_landmarks_align_celeba.csv is no table.*DOCTYPE",
        ),
        ("", "is no table of CelebA's.*nothing"),
        (landmark_table()[:-9], "line 5 does not hold a photo and its numbers"),
        (
            "".join(landmark_table().splitlines(True)[:-1]),
            "lacks 1 of 4 photos that another table lists, such as 000004.jpg",
        ),
        (landmark_table().replace("nose_x", "chin_x"), "has no column nose_x"),
        (
            "4\n" + "".join(landmark_table().splitlines(True)[:-1]),
            "holds 3 of the 4 photos that its first line promises",
        ),
        (
            landmark_table().replace("000002", "000001").replace(",9\n", ",8\n", 1),
            "says of 000001.jpg what another line does not",
        ),
    ],
)
def test_a_damaged_table_is_named_with_what_is_wrong(tmp_path, table, sentence):
    with pytest.raises(ValueError, match=sentence):
        face_sets.celeba(celeba_files(tmp_path, table))


def test_celeba_half_unpacked_is_told_with_its_numbers(tmp_path, capsys):
    faces = load_faces("celeba", celeba_files(tmp_path, landmark_table(), photos=3))
    assert (
        len(faces) == 3
        and "holds 3 of the 4 photos that the tables list" in capsys.readouterr().out
    )
    Image.new("RGB", (9, 9)).save(tmp_path / "celeba" / "img_align_celeba" / "000009.jpg")
    load_faces("celeba", tmp_path)
    assert "1 photos that no table lists, such as 000009.jpg" in capsys.readouterr().out


@pytest.mark.parametrize(
    "separator,encoding", [(";", "utf-8-sig"), ("\t", "utf-16"), (",", "utf-8")]
)
def test_a_table_of_landmarks_from_any_spreadsheet(tmp_path, separator, encoding):
    text = "\n".join([HEADER, f"Ада/1.jpg,train,{','.join('0123456789')}"]).replace(",", separator)
    (tmp_path / "landmarks.csv").write_text(text, encoding=encoding)
    faces = photos_with_landmarks(tmp_path, tmp_path / "landmarks.csv")
    assert faces.names == ["Ада"] and faces.landmarks[0].tolist() == [
        [0, 1],
        [2, 3],
        [4, 5],
        [6, 7],
        [8, 9],
    ]
