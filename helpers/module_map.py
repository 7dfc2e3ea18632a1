"""The map of the modules in helpers/README.md, drawn from their imports.

    python -m helpers.module_map

Modules stand in layers: each imports only modules of layers above it, so there is no circle. The
table takes the first sentence of each module's docstring.
"""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

FOLDER = Path(__file__).parent
BEGIN, END = "<!-- map: begin -->", "<!-- map: end -->"


def imports_of(tree: ast.Module, names: set[str]) -> set[str]:
    """The modules of this package, out of `names`, that a parsed module imports anywhere."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            inside = node.level == 1 or (node.module or "").split(".")[0] == FOLDER.name
            module = (node.module or "").removeprefix(FOLDER.name).strip(".")
            found |= ({module} if module else {alias.name for alias in node.names}) & (
                names if inside else set()
            )
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix(f"{FOLDER.name}.") for alias in node.names} & names
    return found


def first_sentence(tree: ast.Module) -> str:
    """The first sentence of a module's docstring, on one line."""
    text = " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.?!])\s(?=[A-Z])", text)[0].rstrip(":")
    return sentence.replace("|", "\\|")


def layers(imports: dict[str, set[str]]) -> list[list[str]]:
    """Module names in layers; a module's imports all lie in earlier ones.

    Raises:
        graphlib.CycleError: modules import each other in a circle.
    """
    depth = {}
    for name in TopologicalSorter(imports).static_order():
        depth[name] = max((depth[other] + 1 for other in imports[name]), default=0)
    return [sorted(n for n in depth if depth[n] == k) for k in range(max(depth.values()) + 1)]


def module_map(folder: Path = FOLDER) -> str:
    """The table of all modules, as Markdown."""
    trees = {
        path.stem: ast.parse(path.read_text(encoding="utf-8"))
        for path in folder.glob("*.py")
        if path.stem != "__init__"
    }
    imports = {name: imports_of(tree, set(trees)) - {name} for name, tree in trees.items()}
    lines = ["| layer | module | what it is for | imports |", "|---|---|---|---|"]
    for number, layer in enumerate(layers(imports), start=1):
        for name in layer:
            uses = ", ".join(sorted(imports[name]))
            lines.append(f"| {number} | `{name}.py` | {first_sentence(trees[name])} | {uses} |")
    return "\n".join(lines)


def with_map(text: str, table: str) -> str:
    """A README's text with the table between the two markers renewed."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


if __name__ == "__main__":
    readme = FOLDER / "README.md"
    readme.write_text(with_map(readme.read_text(encoding="utf-8"), module_map()), encoding="utf-8")
    print(f"{readme} is up to date")
