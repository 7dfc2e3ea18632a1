"""Progress bars. A notebook's bar is one output, updated in place: its last state is saved."""

from collections.abc import Iterable

from IPython import get_ipython
from IPython.display import display
from tqdm import tqdm


class _OneOutput:
    """A file for tqdm to write to that shows only the last line written."""

    def __init__(self):
        self.handle = None

    def write(self, text: str) -> None:
        line = {"text/plain": text.strip("\r\n ")}
        if self.handle is not None and line["text/plain"]:
            self.handle.update(line, raw=True)
        elif line["text/plain"]:
            self.handle = display(line, raw=True, display_id=True)

    def flush(self) -> None:
        pass


def progress_bar(items: Iterable | None = None, **options: object) -> tqdm:
    """A tqdm bar with tqdm's options, over items or with a total, for notebooks and terminals."""
    in_notebook = hasattr(get_ipython(), "kernel")  # Jupyter, VS Code, Colab
    return tqdm(
        items, mininterval=1, ncols=140, file=_OneOutput() if in_notebook else None, **options
    )
