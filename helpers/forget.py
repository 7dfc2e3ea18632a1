"""Delete a person from everything that was made of their photos: it is biometric data."""

import shutil
import unicodedata
from pathlib import Path

from .aligned_set import face_file, forget_array, forget_rows, read_rows
from .files import read_csv, to_csv, write_text
from .gallery import Gallery
from .photo_names import person_in

PICTURES = ("identify", "arrange", "map.html")  # in outputs/: whoever is on them


def nfc(text: str) -> str:
    """A name as it is compared: macOS writes accents apart, and keyboards do not."""
    return unicodedata.normalize("NFC", text)


def forget(name: str, data_dir: str | Path, runs_dir: str | Path, out: str | Path) -> list[str]:
    """Delete a person from galleries, aligned sets and pictures.

    Args:
        name: that of the folder with the person's photos, or, of photos that lie side by side, what
            their names begin with, `ada` of `ada_1.jpg`.
        data_dir, runs_dir, out: where aligned sets, runs, and galleries and pictures lie.

    Returns:
        Sentences about what was done and what remains.

    Raises:
        ValueError: there is nothing of a person of this name.
    """
    if name in ("", ".", "..") or Path(name).name != name:  # another folder
        raise ValueError(
            f"'{name}' is no person's name: give that of the folder with the person's photos."
        )
    name = nfc(name)
    done = [
        *_from_galleries(name, Path(out)),
        *_from_aligned_sets(name, Path(data_dir) / "aligned"),
        *_from_runs(name, Path(runs_dir)),
    ]
    if not done and not _on_pictures(name, Path(out)):
        raise ValueError(
            f"There is nothing of a person called '{name}' in {out}, {data_dir} and {runs_dir}: is "
            "the name that of the folder with the person's photos, or the one in the photos' names?"
        )
    for part in PICTURES:
        path = Path(out) / part
        if path.exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            done.append(f"{path}: deleted, since {name} may be on it")
    return done + [
        f"The photos of {name} themselves are yours to delete, or the next command takes them up "
        "again."
    ]


def _on_pictures(name, out):
    """Is a person on what arrange or identify drew, by the name of a photo or as found in it?"""
    arranged = [row[0] for row in read_csv(out / "arrange" / "groups.csv")[1:] if row]
    drawn = [row for row in read_csv(out / "identify" / "pictures.csv")[1:] if len(row) > 1]
    found = [Path(row[1]).stem for row in drawn] + [name for row in drawn for name in row[2:]]
    return any(name in (*one.split("/"), person_in(one)) for one in map(nfc, arranged + found))


def _from_galleries(name, out):
    for part in (out / "gallery").glob("*.part"):  # what a killed process was writing
        part.unlink()
    for path in sorted((out / "gallery").glob("*.safetensors")):
        try:
            known = Gallery.load(path)
        except ValueError:
            path.unlink()  # nobody can say who is in it
            yield f"{path}: deleted, for it can't be read"
            continue
        theirs = [nfc(person) == name for person in known.people]
        faceless = [one for one in known.faceless if not nfc(one).startswith(f"{name}/")]
        table = path.with_name(f"{path.stem}_files.csv")
        keys = [mark.rsplit(" ", 2)[0] for mark in known.sources + known.faceless]
        if _from_table(name, table, keys) or any(theirs) or len(faceless) < len(known.faceless):
            known.keep([not one for one in theirs])
            known.faceless = faceless
            known.save(path)
            yield f"{path}: {sum(theirs)} photos of {name} forgotten"


def _from_aligned_sets(name, aligned):
    for folder in sorted(path for path in aligned.glob("*") if path.is_dir()):
        everybody = read_rows(folder)
        rows = [row for row in everybody if nfc(row["person"]) == name]
        spellings = {name, unicodedata.normalize("NFD", name), *(row["person"] for row in rows)}
        faces = [face_file(folder, one, "").parent for one in sorted(spellings)]
        keys = [row["photo"] for row in everybody]
        in_table = _from_table(name, folder.with_name(f"{folder.name}_files.csv"), keys)
        if rows or any(one.is_dir() for one in faces) or in_table:
            forget_rows(folder, rows)
            forget_array(folder)
            for one in faces:
                shutil.rmtree(one, ignore_errors=True)
            skipped = read_csv(folder / "skipped.csv")
            kept = [row for row in skipped if not nfc(row[0]).startswith(f"{name}/")]
            write_text(folder / "skipped.csv", to_csv(kept))
            yield f"{folder}: {len(rows)} photos of {name} and the array of all faces deleted"


def _from_table(name, table, keys):
    """Delete the lines of a table of fingerprints whose file lies in a person's folder.

    keys: `person/photo` of some files: people's folders lie beside these, and a folder above them
    that is called like the person is not meant.
    """
    rows, keys = read_csv(table), {nfc(key + end) for key in keys for end in ("", ".jpg")}
    paths = [Path(nfc(row[0])).parts for row in rows]
    roots = {path[:k] for path in paths for k in range(len(path)) if "/".join(path[k:]) in keys}
    kept = [
        row
        for row, path in zip(rows, paths)
        if not any(path[: len(root) + 1] == (*root, name) for root in roots)
        if roots or name not in path[:-1]
    ]
    if len(kept) < len(rows):
        write_text(table, to_csv(kept))
    return len(kept) < len(rows)


def _from_runs(name, runs):
    for path in sorted(runs.glob("*/sample_photos/*.png")):
        if nfc(path.stem).rpartition("_")[0] == name:
            path.unlink()
            yield f"{path}: deleted"
    for path in sorted(runs.glob("**/split.csv")):
        trained = [row[1] for row in read_csv(path) if row[2:] in (["train"], ["test"])]
        if name in map(nfc, trained):
            yield (
                f"{path.parent} was trained on {name}: weights can't forget, so delete that folder "
                "to be rid of it"
            )
