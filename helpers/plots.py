"""Every figure of the course: each function draws one and returns it, and the cell shows it.

The functions stand by theme in plots_charts.py, plots_intervals.py, plots_faces.py and
plots_similarity.py; colours and style are in plots_style.py.
"""

import html
from collections.abc import Mapping, Sequence

from IPython.display import HTML

from .plots_charts import (  # noqa: F401
    curves,
    lines,
    rate_curves,
    scatter_people,
    similarity_histograms,
)
from .plots_faces import (  # noqa: F401
    boxes_on,
    heatmaps,
    landmarks_on,
    neighbours,
    over_faces,
    pictures,
    stations,
)
from .plots_intervals import bars, dots  # noqa: F401
from .plots_similarity import similarity_matrix  # noqa: F401
from .plots_style import (  # noqa: F401
    COLOURS,
    CYCLE,
    GREY,
    RIGHT,
    WRONG,
    done,
    picture,
    sign,
    styled,
)


def table(rows: Sequence[Mapping]) -> HTML:
    """A list of dicts as an HTML table, numbers with three digits; what a row lacks stays empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))

    def cell(value: object) -> str:
        return f"{value:.3f}" if isinstance(value, float) else html.escape(str(value))

    head = "".join(f"<th>{html.escape(key)}</th>" for key in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell(row.get(key, ''))}</td>" for key in columns) + "</tr>"
        for row in rows
    )
    return HTML(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
