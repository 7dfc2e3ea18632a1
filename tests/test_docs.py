"""What README and docs print is true: their links lead somewhere and their commands run."""

import json
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks.__main__ import benchmark
from helpers import __main__ as who_is_who
from helpers import aligned_data, module_map, teachers, train, train_hourglass
from helpers.detection import detect
from helpers.encoders import Encoder
from helpers.faces import LANDMARK_COLUMNS, orl
from helpers.model_files import save_model
from helpers.verification import Verifier

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    + [ROOT / name / "README.md" for name in ("helpers", "models", "benchmarks", "solutions")]
    + [ROOT / "test_images" / "README.md", *ROOT.glob("models/*.md")]
)
NOTEBOOKS = sorted(
    path for folder in (".", "solutions", "student") for path in (ROOT / folder).glob("*.ipynb")
)
# CI's, or yours
SHELL = (
    "git clone",
    "python3 -m venv",
    "pip install",
    "jupyter lab",
    "ruff format",
    "FACES_TEST_DEVICE=",
)
TINY = "epochs=1 people=3 probe_people=3 batch_size=8 embedding=16 encoder_size=32 device=cpu"
SMALL_NETWORK = "encoder_options={channels:[8,16,16,32],stem_width:8}"


def commands():
    """Every line of a block of shell commands in README and docs, without its comment."""
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]:
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
            for line in block.splitlines():
                yield re.split(r"\s+# ", line.strip())[0]


COURSE = sorted({line for line in commands() if line and not line.startswith(SHELL)})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with everything that the printed commands name, small, on six people of ORL."""
    folder = tmp_path_factory.mktemp("place")
    faces = orl().of_people(range(6))
    rows = [",".join(["file", "split", *LANDMARK_COLUMNS])]
    chosen = [i for i in range(len(faces)) if i % 10 < 4]
    for i, found in zip(chosen, detect([faces.photo(i) for i in chosen])):
        person = faces.names[faces.labels[i]]
        photo = Image.fromarray(faces.photo(i).permute(1, 2, 0).numpy())
        for name in (f"PEOPLE/{person}/{i}.png", f"PHOTOS/{person}_{i}.png"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            photo.save(folder / name)
        landmarks = map(str, found.landmarks[0].flatten())  # MTCNN's own
        split = "test" if i % 10 == 0 else "train"
        rows.append(",".join([f"{person}_{i}.png", split, *landmarks]))
    for name, i in {"A.jpg": 0, "B.jpg": 1, "GROUP.jpg": 10}.items():
        Image.fromarray(faces.photo(i).permute(1, 2, 0).numpy()).save(folder / name)
    (folder / "LANDMARKS.csv").write_text("\n".join(rows))
    torch.manual_seed(0)
    verifier = Verifier([1e-3, 0.1], [0.99999, -1.0], 10.0, -5.0, 50, 100_000).to_text()
    encoder = Encoder("resnet10_small", 16, 32).eval()
    save_model(encoder, folder / "encoder.safetensors", verifier=verifier)
    train_hourglass.main(
        f"--data {folder}/PHOTOS {folder}/LANDMARKS.csv --out {folder}/mine.safetensors --run "
        f"{folder}/hourglass --channels 4 --grow 0 --epochs 1 --polish 1 --device cpu".split()
    )
    return folder


def train_tiny(words):
    """`python -m helpers.train` on the six people, for one epoch, without downloads."""
    words = [word for word in words if not word.startswith(("dataset=", "epochs=", "freeze="))]
    words = ["weights=none" if word.startswith("weights=") else word for word in words]
    if not any(word.startswith("encoder=") for word in words):
        words.append(SMALL_NETWORK)
    train.run([*words, "dataset=PEOPLE", *TINY.split()])


def run(line):
    """Run a printed command in this process; whatever is large in it is made small."""
    line = line.replace("accelerate launch --multi_gpu --num_processes 2", "python")
    # another package's
    line = line.replace("--recogniser sface", "--recogniser encoder.safetensors")
    line = line.replace("forget NAME", "forget s1").replace(
        "--celeba data", "--data PHOTOS LANDMARKS.csv"
    )
    python, _, module, *words = shlex.split(line)
    assert python == "python", f"nothing here runs: {line}"
    if module == "helpers.train":
        train_tiny(words)
    elif module == "helpers.train_hourglass":
        small = "--channels 4 --grow 0 --epochs 1 --polish 1 --device cpu --run other"
        train_hourglass.main([*words, *small.split()])
    elif module == "helpers.teachers":
        words[words.index("sface")] = "encoder.safetensors"
        teachers.main(words)
    elif module == "helpers.aligned_data":
        aligned_data.main(["dataset=PEOPLE", "people=3", "probe_people=3"])
    elif module == "helpers.settings":
        runpy.run_module(module, run_name="__main__")
    elif module == "benchmarks":
        benchmark(words)
    else:
        assert module == "helpers", f"nothing here runs: {line}"
        assert who_is_who.main(words) in (0, 1)


SLOW = {  # trainings, and the teacher that one of them asks for
    line: pytest.mark.slow
    for line in COURSE
    if "-m helpers.train " in line or "-m helpers.teachers " in line
}


@pytest.mark.parametrize("line", [pytest.param(c, marks=SLOW.get(c, ())) for c in COURSE])
def test_every_printed_command_runs(line, place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["train"])
    for name, value in {"DATASET": "PEOPLE", "PEOPLE": "3", "PROBE_PEOPLE": "3"}.items():
        monkeypatch.setenv(f"FACES_{name}", value)
    shutil.rmtree("other", ignore_errors=True)
    run(line)


def text_of(page):
    """A Markdown page, or the Markdown cells of a notebook."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".md":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
    return "\n".join("".join(cell["source"]) for cell in cells)


@pytest.mark.parametrize("page", PAGES + NOTEBOOKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_course_lead_somewhere(page):
    text = text_of(page)
    for link in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"|^\[\d+\]: (\S+)", text, re.M):
        target, _, section = "".join(link).partition("#")
        if re.match(r"[a-z]+:", target) or (not target and page.suffix == ".ipynb"):
            continue
        path = (page.parent / target) if target else page
        assert path.exists(), f"{page.name} links to {target}, which is not there"
        if section and path.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", text_of(path), re.M)
            slugs = [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in headings]
            assert section in slugs, f"{page.name} links to {target}#{section}: no such heading"


def test_programs_named_in_the_text_exist():
    for page in PAGES:
        text = " ".join(page.read_text(encoding="utf-8").split())
        for module, word in re.findall(r"python -m (benchmarks|helpers[.\w]*) ?([\w-]*)", text):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
            if module == "benchmarks" and word and word != "NAME":
                name = word.replace("-", "_")
                assert (path / f"{name}.py").exists(), f"{page.name}: no benchmark {word}"


def test_lines_of_the_readme_fit_its_page():
    """The one command that names five notebooks does not; everything else in blocks does."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for block in re.findall(r"```\w*\n(.*?)```", text, re.S):
        for line in block.splitlines():
            assert len(line) <= 90 or "nbconvert" in line, f"GitHub would cut: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_in_the_text_runs(page, place, monkeypatch):
    monkeypatch.chdir(place)
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
        exec(compile(block, page.name, "exec"), {})


def test_the_map_of_the_modules_is_drawn_from_their_imports():
    text = (ROOT / "helpers" / "README.md").read_text(encoding="utf-8")
    assert module_map.with_map(text, module_map.module_map()) == text, (
        "the map is out of date: run `python -m helpers.module_map`"
    )


def test_the_map_finds_imports_and_layers():
    import ast

    source = "from . import files, plots\nfrom .faces import orl\nimport numpy\n"
    names = {"files", "plots", "faces", "numpy"}
    found = module_map.imports_of(ast.parse(source), names - {"numpy"})
    assert found == {"files", "plots", "faces"}
    assert module_map.layers({"b": {"a"}, "a": set(), "c": {"a", "b"}}) == [["a"], ["b"], ["c"]]
