"""`python -m helpers`: who is who, by command, with exit codes, JSON and pictures."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import plots
from helpers.__main__ import main
from helpers.embedding_map import embedding_map
from helpers.encoders import Encoder
from helpers.model_files import load_verifier, notes_of, save_model
from helpers.verification import Verifier


@pytest.fixture
def folder(tmp_path, monkeypatch, some_orl):
    """Six people with four photos each; an encoder whose threshold takes nearly all for one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACES_HOURGLASS", "mtcnn")
    for i in range(len(some_orl)):
        path = tmp_path / "people" / some_orl.names[some_orl.labels[i]] / f"Ада {i % 4 + 1}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(some_orl.photo(i).permute(1, 2, 0).numpy()).save(path)
    torch.manual_seed(0)
    verifier = Verifier([1e-3, 0.1], [0.99999, -1.0], 10.0, -5.0, 50, 100_000)
    save_model(
        Encoder("resnet10_small", 16, 32).eval(), "mine.safetensors", verifier=verifier.to_text()
    )
    return tmp_path / "people"


def run(capsys, *words):
    code = main([*map(str, words), "--encoder", "mine.safetensors", "--json"])
    out = capsys.readouterr()
    return code, json.loads(out.out) if out.out else None, out.err


def test_predict_compares_pairs_and_says_so_by_its_exit_code(folder, capsys):
    photos = [folder / "s1" / "Ада 1.png", folder / "s1" / "Ада 2.png", folder / "s2" / "Ада 1.png"]
    code, result, err = run(capsys, "predict", *photos, "--fpr", "0.1")
    assert code == 0 and len(result["pairs"]) == 3 and all(pair["same"] for pair in result["pairs"])
    assert (
        all(0 <= pair["probability"] <= 1 for pair in result["pairs"]) and "the same person" in err
    )
    assert run(capsys, "predict", *photos, "--fpr", "0.001")[0] == 1
    code, result, err = run(capsys, "predict", *photos, "--fpr", "0.5")
    assert code == 2 and result is None and "was not measured" in err


def test_what_is_missing_ends_in_a_sentence(folder, capsys):
    Image.new("RGB", (200, 200)).save("wall.png")
    (folder.parent / "paper.jpg").write_bytes(b"%PDF-1.7")
    good = folder / "s1" / "Ада 1.png"
    for bad, words in (
        ("wall.png", "no face"),
        ("paper.jpg", "not a picture"),
        ("nowhere.png", "not a picture"),
    ):
        code, result, err = run(capsys, "predict", good, bad)
        assert code == 2 and result is None and words in err and bad in err
    save_model(Encoder("resnet10_small", 16, 32).eval(), "bare.safetensors")
    assert main(["predict", str(good), str(good), "--encoder", "bare.safetensors"]) == 2
    assert "evaluate" in capsys.readouterr().err


def test_arrange_writes_matrix_and_groups(folder, capsys):
    (folder / "s3" / "notes.jpg").write_text("no picture")
    code, result, err = run(capsys, "arrange", folder / "s3", "--fpr", "0.1")
    assert (
        code == 0
        and result["photos"] == [f"Ада {k}" for k in (1, 2, 3, 4)]
        and set(result["groups"]) == {0}
    )
    assert len(result["skipped"]) == 1 and "notes.jpg" in err
    written = folder.parent / "outputs" / "arrange"
    assert Image.open(written / "matrix.png").width > 300
    assert len((written / "similarity.csv").read_text(encoding="utf-8").splitlines()) == 5
    assert (written / "groups.csv").read_text(encoding="utf-8").splitlines()[1] == "Ада 1,0"


def test_identify_names_known_faces_and_leaves_strangers_unknown(folder, capsys):
    both = torch.full((3, 130, 260), 90, dtype=torch.uint8)
    for k, person in enumerate(("s1", "s2")):
        photo = torch.from_numpy(
            np.array(Image.open(folder / person / "Ада 1.png").convert("RGB"))
        ).permute(2, 0, 1)
        height, width = photo.shape[1:]
        both[:, : min(height, 130), k * 130 : k * 130 + min(width, 130)] = photo[:, :130, :130]
    Image.fromarray(both.permute(1, 2, 0).numpy()).save("group.png")
    (folder.parent / "paper.jpg").write_bytes(b"%PDF-1.7")
    code, result, err = run(
        capsys, "identify", "--gallery", folder, "paper.jpg", "group.png", "--fpr", "0.1"
    )
    assert "paper.jpg: not a picture" in err, "a bad photo costs the others nothing"
    assert code == 0 and result["enrolled"] == 24
    assert {face["name"] for face in result["faces"]} <= {f"s{k}" for k in range(1, 41)}
    assert (folder.parent / "outputs" / "identify" / "2_group.png").exists()
    code, result, _ = run(capsys, "identify", "--gallery", folder, "group.png", "--fpr", "0.001")
    assert len(result["faces"]) == 2 and all(
        set(face) >= {"box", "similarity", "hints"} for face in result["faces"]
    )


def test_evaluate_measures_and_keeps_thresholds_and_the_map_needs_no_connection(folder, capsys):
    code, result, err = run(capsys, "evaluate", folder, "--keep")
    assert (
        code == 0
        and result["photos"] == 24
        and list(result["tpr_at_fpr"]) == ["0.001", "0.01", "0.1"]
    )
    assert load_verifier("mine.safetensors").people == 6
    assert notes_of("mine.safetensors")["measured_with"] == "MTCNN"
    assert result["pairs_of_people"] == 15, "which carry an FPR of 0.1 and none below"
    assert (
        result["tpr_at_fpr"]["0.001"] is result["tpr_at_fpr"]["0.01"] is None
        and result["tpr_at_fpr"]["0.1"] > 0
    )
    assert (
        "FPR 0.001, 0.01: left out" in err
        and "TPR at FPR 0.1 " in err
        and "TPR at FPR 0.01 " not in err
    )
    code, result, _ = run(capsys, "map", folder)
    page = (folder.parent / "outputs" / "map.html").read_text(encoding="utf-8")
    assert code == 0 and page.count("data:image/jpeg") == 24 and 'src="http' not in page


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "a", "b"],
        ["arrange", "a"],
        ["identify", "--gallery", "a", "b"],
        ["evaluate", "a"],
        ["map", "a"],
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("fpr", ["nan", "-0.1", "0", "1.5", "inf", "often"])
def test_every_command_refuses_an_fpr_that_is_no_share(command, fpr, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command, f"--fpr={fpr}"])
    assert stopped.value.code == 2 and "argument --fpr: it is" in capsys.readouterr().err


EVIL = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    'a "quoted"\nname',
    r"$\frac{",
    "$" * 300,
]


def test_names_do_no_harm_in_figures_and_tables():
    faces = [torch.zeros(3, 112, 112, dtype=torch.uint8)] * len(EVIL)
    found = [SimpleNamespace(box=np.array([5, 20, 40, 60]))] * len(EVIL)
    for figure in (
        plots.pictures(faces, EVIL, EVIL[3]),
        plots.boxes_on(faces[0], found, EVIL, title=EVIL[3]),
        plots.similarity_matrix(np.eye(len(EVIL)), faces, EVIL, EVIL[3], 0.5, EVIL),
        plots.scatter_people(np.eye(5, 2), np.arange(5), EVIL),
    ):
        figure.savefig(io.BytesIO(), format="png")
    assert "<script" not in plots.table([{name: name} for name in EVIL]).data


def test_names_do_no_harm_in_the_map(tmp_path):
    evil = EVIL[:3]
    embedding_map(
        np.eye(3, 8),
        torch.zeros(3, 3, 112, 112, dtype=torch.uint8),
        evil,
        evil,
        tmp_path / "map.html",
        evil[0],
    )
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and "<img src=x" not in page
