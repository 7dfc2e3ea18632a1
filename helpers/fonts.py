"""Names in any script in figures: fonts that have it, if installed, else the letters' numbers."""

import re
from functools import lru_cache

from matplotlib import font_manager

# after matplotlib's own font, the first of these that are installed and have a letter draw it
OTHERS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "SimHei",
    "Yu Gothic",
    "Malgun Gothic",
    "PingFang SC",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Arial Unicode MS",
    "Noto Sans Devanagari",
    "Nirmala UI",
    "Noto Sans Thai",
    "Leelawadee UI",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Emoji",
    "Segoe UI Symbol",
    "Segoe UI Emoji",
    "Apple Symbols",
    "Symbola",
    "FreeSans",
)


@lru_cache(maxsize=1)
def families() -> list[str]:
    """Matplotlib's own font, then those of the list that are installed."""
    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(name for name in OTHERS if name in installed)]


@lru_cache(maxsize=1)
def _letters():
    fonts = [font_manager.get_font(font_manager.findfont(name)) for name in families()]
    return {number for font in fonts for number in font.get_charmap()}


def drawable(text: object) -> str:
    """The text, with letters that no font has as numbers, ⟨5c0f 660e⟩: two names stay two names."""
    known = _letters()
    unknown = "".join(
        sorted({letter for letter in str(text) if ord(letter) not in known and letter != "\n"})
    )
    if not unknown:
        return str(text)
    return re.sub(
        f"[{re.escape(unknown)}]+",
        lambda run: f"⟨{' '.join(f'{ord(letter):x}' for letter in run[0])}⟩",
        str(text),
    )


def plain(name: object) -> str:
    """A name as it stands, whoever gave it: no formula between dollars, no line breaks, short."""
    name = drawable(" ".join(str(name).split()))
    return (name if len(name) <= 60 else f"{name[:59]}…").replace("$", r"\$")
