"""The studies of notebook 2: rows of their table, and the file that the notebook shows."""

import json
from types import SimpleNamespace

import pytest

from benchmarks import studies


def test_a_choice_is_compared_with_the_first_one_over_all_seeds(monkeypatch):
    trained = []

    def study(variants, data, settings, loss):
        trained.extend(change["seed"] for change in variants.values())
        rates = {label: loss + change["seed"] / 100 for label, change in variants.items()}
        return {
            label: SimpleNamespace(
                results={
                    "tpr": tpr,
                    "tpr_resampled": [tpr] * 3,
                    "people": 12,
                    "pairs_of_people": 66,
                }
            )
            for label, tpr in rates.items()
        }

    monkeypatch.setattr(studies.recognition, "study", study)
    choices = {"first": (0.5, {}), "second": (0.7, {})}
    rows = studies.rows(choices, None, SimpleNamespace(study_epochs=60), range(3))
    assert trained == [0, 1, 2] * 2 and rows["second"]["seeds"] == [0.7, 0.71, 0.72]
    assert rows["first"]["difference"] == "" and rows["second"]["difference"].startswith("+0.20")


@pytest.mark.parametrize("study", ["losses", "augmentation", "start"])
def test_the_file_that_notebook_2_shows_is_whole(study):
    found = json.loads(studies.RESULTS.read_text(encoding="utf-8"))[study]
    for row in found.values():
        assert row["seeds"] and row["mean"] and row["epochs"] == 60
        assert all(0 <= tpr <= 1 for tpr in row["seeds"])
