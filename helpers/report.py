"""report.html: what `arrange` found in a folder of photos, as one page that needs no connection.

Names come from files, so every one is escaped; pictures are handed over as data.
"""

import base64
import html
import io
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from PIL import Image

from .files import printable, write_text
from .pipeline import Face, doubts
from .verdicts import verdicts
from .verification import Verifier

MOST_IN_MATRIX = 40  # photos: more cells than 1,600 can't be told apart on a page
PAIRS = 12  # nearest to the threshold
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem }
figure { display: inline-block; margin: 0 .8rem .8rem 0; text-align: center; font-size: .85rem }
figure img { display: block; width: 96px; height: 96px }
figcaption { max-width: 96px; overflow-wrap: anywhere }
.wide { overflow-x: auto }
.matrix { border-collapse: collapse; font-size: 11px }
.matrix img { display: block; width: 40px; height: 40px }
.matrix td { width: 40px; height: 40px; padding: 0; text-align: center }
.matrix th { font-size: 9px; font-weight: normal; overflow-wrap: anywhere; vertical-align: bottom }
.matrix tr > th:first-child { min-width: 60px; text-align: right; vertical-align: middle }
.matrix .above { outline: 3px solid #d55e00; outline-offset: -3px; font-weight: bold }
.pairs td, .pairs th { padding: .2rem .8rem .2rem 0; text-align: left }
.pairs img { width: 56px; height: 56px }
"""


def write_report(
    path: Path,
    folder: str,
    names: list[str],
    faces: list[Face],
    groups: np.ndarray,
    verifier: Verifier,
    fpr: float,
    left_out: list[str],
) -> None:
    """Write a page: the groups, the matrix, the pairs nearest to the threshold, what was left out.

    Args:
        path: of the HTML file.
        folder: what the page calls the folder.
        names: of the photos (N,).
        faces: the largest of each photo (N,).
        groups: the number of each photo's group (N,).
        verifier: of the encoder.
        fpr: tolerated share of false matches.
        left_out: a sentence for each photo that was left out, with the reason.
    """
    pictures = [_img(face, name) for face, name in zip(faces, names)]
    threshold, count = verifier.threshold(fpr), len(faces)
    doubtful = [f"{name}: {doubt}" for name, face in zip(names, faces) for doubt in doubts([face])]
    parts = [
        f"<p>{count} photos with a face, {groups.max() + 1} groups. Two photos match if their "
        f"cosine similarity is above <b>{threshold:.2f}</b>; a share of {fpr:g} of the pairs of "
        "different people on whom it was measured is more alike. Measured on other people than "
        "these, so it may be off here; nobody should be named by it alone.</p>",
        "<h2>Groups</h2>",
        "<p>Groups are joined as long as the mean similarity of their photos is above the "
        "threshold, so a single pair within a group may lie below it.</p>",
        *_groups(pictures, names, groups),
        "<h2>Similarity matrix</h2>",
        _matrix(pictures, faces, names, threshold),
        "<h2>Pairs nearest to the threshold</h2>",
        "<p>These verdicts would be the first to change if the threshold were another one. "
        "Undecided: the threshold and the probability, which supposes that one and two people are "
        "equally likely beforehand, point different ways.</p>",
        _pairs(pictures, faces, names, verifier, fpr),
        "<h2>Left out, or doubtful</h2>",
        _list(left_out + doubtful),
    ]
    write_text(path, _page(f"Who is who in {_safe(folder)}/", parts))


def _page(title, parts):
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _groups(pictures, names, groups):
    """A heading and the faces of each group, the largest first."""
    for group in range(groups.max() + 1):
        rows = np.flatnonzero(groups == group)
        yield f"<h3>Group {group}: {len(rows)} {'photo' if len(rows) == 1 else 'photos'}</h3>"
        yield "".join(
            f"<figure>{pictures[i]}<figcaption>{_safe(names[i])}</figcaption></figure>"
            for i in rows
        )


def _matrix(pictures, faces, names, threshold):
    """Similarities as a table of coloured cells; those above the threshold are bold and framed."""
    shown = min(len(faces), MOST_IN_MATRIX)
    embeddings = np.stack([face.embedding for face in faces[:shown]])
    similarity, safe = embeddings @ embeddings.T, [_safe(name) for name in names[:shown]]
    short = [_safe(name if len(name) <= 24 else f"{name[:23]}…") for name in names[:shown]]
    above = (f"<th>{picture}{name}</th>" for picture, name in zip(pictures, short))
    rows = [f"<tr><td></td><td></td>{''.join(above)}</tr>"]
    for picture, head, name, values in zip(pictures, short, safe, similarity):
        cells = "".join(
            _cell(value, threshold, f"{name} and {other}") for value, other in zip(values, safe)
        )
        rows.append(f"<tr><th>{head}</th><td>{picture}</td>{cells}</tr>")
    note = f"The first {shown} of {len(faces)} photos. " if shown < len(faces) else ""
    return (
        f"<p>{note}Framed and bold: above the threshold.</p>"
        f'<div class="wide"><table class="matrix">{"".join(rows)}</table></div>'
    )


def _cell(value, threshold, title):
    shade = colormaps["viridis"](float(np.clip(value, 0, 1)))[:3]
    colour = "#" + "".join(f"{round(255 * part):02x}" for part in shade)
    ink = "black" if value > 0.6 else "white"
    above = ' class="above"' if value > threshold else ""
    style = f"background:{colour};color:{ink}"
    return f'<td{above} title="{title}" style="{style}">{value:.2f}</td>'


def _pairs(pictures, faces, names, verifier, fpr):
    rows = verdicts(faces, names, verifier, fpr)
    threshold = verifier.threshold(fpr)
    first, second = np.triu_indices(len(faces), 1)  # the order of verdicts
    nearest = np.argsort([abs(row["similarity"] - threshold) for row in rows], kind="stable")
    lines = [
        f"<tr><td>{pictures[first[k]]}</td><td>{pictures[second[k]]}</td>"
        f"<td>{_safe(rows[k]['photo'])} and {_safe(rows[k]['and'])}</td>"
        f"<td>{rows[k]['similarity']:.3f}</td><td>{rows[k]['verdict']}</td>"
        f"<td>{rows[k]['probability']:.2f}</td></tr>"
        for k in nearest[:PAIRS]
    ]
    head = "".join(
        f"<th>{word}</th>"
        for word in ("", "", "photos", "similarity", "verdict", "probability of one person")
    )
    table = f'<div class="wide"><table class="pairs"><tr>{head}</tr>{"".join(lines)}</table></div>'
    return table if lines else "<p>There is only one photo.</p>"


def _list(sentences):
    if not sentences:
        return "<p>Nothing.</p>"
    return "<ul>" + "".join(f"<li>{_safe(sentence)}</li>" for sentence in sentences) + "</ul>"


def _img(face, name):
    file = io.BytesIO()
    picture = Image.fromarray(np.asarray(face.face).transpose(1, 2, 0))
    picture.save(file, "JPEG", quality=85)
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{_safe(name)}" title="{_safe(name)}" src="data:image/jpeg;base64,{data}">'


def _safe(text):
    return html.escape(printable(text))
