"""Files are written whole or not at all: to a temporary name first, then renamed."""
import csv
import io
import os
from pathlib import Path


def write_atomically(path, write):
    """write(temporary path), then rename it to path: a reader, or a kill, sees the old file or the new one."""
    part = Path(f"{path}.part")
    write(part)
    os.replace(part, path)


def write_text(path, text):
    """Write a text file in one atomic step."""
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))


def to_csv(rows):
    """Rows (sequences, the first one being the header) as the text of a CSV file, quoted where needed."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
