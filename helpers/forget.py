"""Delete a person from everything that was made of their photos: it is biometric data."""

import shutil
from pathlib import Path

from .aligned_set import face_file, forget_array, forget_rows, read_rows
from .files import read_csv, to_csv, write_text
from .gallery import Gallery

PICTURES = ("identify", "arrange", "map.html")  # in outputs/: whoever is on them


def forget(name: str, data_dir: str | Path, runs_dir: str | Path, out: str | Path) -> list[str]:
    """Delete a person from galleries, aligned sets and pictures.

    Args:
        name: that of the folder with the person's photos.
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
    done = [
        *_from_galleries(name, Path(out)),
        *_from_aligned_sets(name, Path(data_dir) / "aligned"),
        *_from_runs(name, Path(runs_dir)),
    ]
    if not done:
        raise ValueError(
            f"There is nothing of a person called '{name}' in {out}, {data_dir} and {runs_dir}: is "
            "the name that of the folder with the person's photos?"
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
        theirs = [person == name for person in known.people]
        faceless = [source for source in known.faceless if not source.startswith(f"{name}/")]
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
        rows = [row for row in everybody if row["person"] == name]
        faces = face_file(folder, name, "").parent
        keys = [row["photo"] for row in everybody]
        in_table = _from_table(name, folder.with_name(f"{folder.name}_files.csv"), keys)
        if rows or faces.is_dir() or in_table:
            forget_rows(folder, rows)
            forget_array(folder)
            shutil.rmtree(faces, ignore_errors=True)
            kept = [
                row for row in read_csv(folder / "skipped.csv") if not row[0].startswith(f"{name}/")
            ]
            write_text(folder / "skipped.csv", to_csv(kept))
            yield f"{folder}: {len(rows)} photos of {name} and the array of all faces deleted"


def _from_table(name, table, keys):
    """Delete the lines of a table of fingerprints whose file lies in a person's folder.

    keys: `person/photo` of some files: people's folders lie beside these, and a folder above them
    that is called like the person is not meant.
    """
    rows, keys = read_csv(table), {*keys, *(f"{key}.jpg" for key in keys)}
    paths = [Path(row[0]).parts for row in rows]
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
        if path.stem.rpartition("_")[0] == name:
            path.unlink()
            yield f"{path}: deleted"
    for path in sorted(runs.glob("**/split.csv")):
        if any(row[1:] == [name, split] for row in read_csv(path) for split in ("train", "test")):
            yield (
                f"{path.parent} was trained on {name}: weights can't forget, so delete that folder "
                "to be rid of it"
            )
