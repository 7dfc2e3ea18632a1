"""A map of embeddings in one HTML file: faces that the encoder finds alike lie together."""

import base64
import html
import io
import json
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import torch
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from .files import write_text

# shows the face under the pointer; the pictures are handed over as data, never as markup
ON_HOVER = """
const faces = %s, plot = document.getElementById("{plot_id}");
const card = document.createElement("img");
card.style = "position:fixed;width:112px;border:2px solid #333;display:none;" +
  "pointer-events:none;z-index:9";
document.body.appendChild(card);
plot.on("plotly_hover", event => {
  const place = event.event;
  card.src = faces[event.points[0].customdata[0]];
  card.style.left = place.clientX + 14 + "px"; card.style.top = place.clientY + 14 + "px";
  card.style.display = "block";
});
plot.on("plotly_unhover", () => card.style.display = "none");
"""


def positions(embeddings: np.ndarray, seed: int = 0) -> np.ndarray:
    """Places on the plane (N, 2) of embeddings (N, D).

    t-SNE on cosines (van der Maaten and Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a);
    of fewer than ten photos, the first two principal components.
    """
    if len(embeddings) < 10:
        flat = PCA(min(2, *np.shape(embeddings))).fit_transform(embeddings)
        return np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    near = min(30, (len(embeddings) - 1) / 3)
    return TSNE(perplexity=near, metric="cosine", init="random", random_state=seed).fit_transform(
        embeddings
    )


def embedding_map(
    embeddings: np.ndarray,
    faces: torch.Tensor,
    labels: list,
    names: list[str],
    path: str | Path | None = None,
    title: str = "Who looks alike to the encoder",
) -> go.Figure:
    """A map of embeddings, as a Plotly figure.

    Args:
        embeddings: (N, D).
        faces: aligned faces uint8 (N, 3, H, W), shown in the file when the pointer comes near.
        labels: the people (N,), each with a colour.
        names: what the pointer shows beside each face (N,).
        path: of an HTML file that is written as well, and needs no connection; or None.
        title: above the map.
    """
    places, labels = positions(np.asarray(embeddings)), np.asarray(labels).astype(str)
    figure = go.Figure()
    for person in dict.fromkeys(labels):
        rows = np.flatnonzero(labels == person)
        figure.add_scatter(
            x=places[rows, 0],
            y=places[rows, 1],
            mode="markers",
            marker={"size": 9},
            name=html.escape(person),
            customdata=rows[:, None],
            text=[html.escape(str(names[i])) for i in rows],
            hovertemplate="%{text}<extra></extra>",
        )
    figure.update_layout(
        template="simple_white",
        height=700,
        title=html.escape(title),
        xaxis={"visible": False},
        yaxis={"visible": False, "scaleanchor": "x"},
        showlegend=len(figure.data) <= 30,
    )
    if path is not None:
        pictures = json.dumps([_data_address(face) for face in faces])
        write_text(path, figure.to_html(include_plotlyjs=True, post_script=ON_HOVER % pictures))
    return figure


def _data_address(face):
    file = io.BytesIO()
    Image.fromarray(np.asarray(face).transpose(1, 2, 0)).resize((80, 80)).save(
        file, "JPEG", quality=80
    )
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
