"""Which training was better? Saved figures in a table, with the difference from a reference."""

import numpy as np

from .intervals import bootstrap_interval
from .pairs import carries
from .runs import Run

FPR = 0.01  # the tolerated share of false matches at which the course compares


def comparison(runs: dict[str, Run], against: str | None = None) -> list[dict]:
    """The saved figures of runs, {label: Run}, as rows of a table, best verification rate first.

    Epochs, steps, photos shown and seconds count the run that another went on from as well.

    Args:
        against: the label of a reference; a column then holds the difference of each TPR from its,
            see `difference`.

    Raises:
        ValueError: where no run has that label.
    """
    if against is not None and against not in runs:
        raise ValueError(
            f"There is no run '{against}' to compare with: choose one of {', '.join(runs)}."
        )
    columns = {
        "accuracy": "accuracy",
        "kNN accuracy": "knn_accuracy",
        f"TPR at FPR {FPR}": "tpr",
        "Recall@1": "recall@1",
        "R-Precision": "r_precision",
        "MAP@R": "map@r",
    }
    rows = []
    for label, run in sorted(runs.items(), key=lambda item: -item[1].results["tpr"]):
        row = {"run": label} | {column: shown(run.results, key) for column, key in columns.items()}
        if against is not None:
            row[f"TPR minus {against}"] = (
                "" if label == against else difference(run.results, runs[against].results)
            )
        rows.append(row | effort(run) | {"loss": run.settings["loss"]})
    # a study of something else: the loss says nothing
    alike = len({row["loss"] for row in rows}) == 1
    return [
        {key: value for key, value in row.items() if not (alike and key == "loss")} for row in rows
    ]


def effort(run: Run) -> dict:
    """What a run took: epochs, steps, photos shown and seconds.

    Those of the run that it went on from count, too; it is named by
    `run.save_results(after=first.folder.name)`.
    """
    epochs = len(run.history)
    total = {
        "epochs": epochs,
        "steps": epochs * run.settings.get("steps_an_epoch", 0),
        "photos shown": epochs * run.settings.get("photos_an_epoch", 0),
        "seconds": round(run.seconds),
    }
    if earlier := run.results.get("after"):
        before = effort(Run(run.folder.parent / earlier))
        total = {key: value + before[key] for key, value in total.items()}
    return total


def difference(results: dict, reference: dict) -> str:
    """How far a TPR is above a reference's, with its 95 % interval: `+0.09 [-0.03, +0.20]`.

    Both were asked about the same people. So the interval is that of the difference, draw by draw
    of these people: it can lie beside 0 where the two intervals overlap, since people who are hard
    to tell apart are so for both.

    Args:
        results, reference: what `figures` returned, with tpr, tpr_resampled and people.
    """
    if not {"tpr_resampled", "people"} <= results.keys() & reference.keys():
        return ""  # measured before these were kept
    if not _carried(results):
        return "too few people"
    draws = np.array(results["tpr_resampled"]) - np.array(reference["tpr_resampled"])
    low, high = bootstrap_interval(draws, results["people"])
    return f"{results['tpr'] - reference['tpr']:+.2f} [{low:+.2f}, {high:+.2f}]"


def over_seeds(runs: list[Run]) -> dict:
    """The figures of several trainings that differ in their seed alone: the mean, also by draw."""
    draws = np.mean([run.results["tpr_resampled"] for run in runs], axis=0)
    people = runs[0].results["people"]
    low, high = bootstrap_interval(draws, people)
    return {
        "tpr": float(np.mean([run.results["tpr"] for run in runs])),
        "tpr_low": float(low),
        "tpr_high": float(high),
        "tpr_resampled": draws.tolist(),
        "people": people,
        "pairs_of_people": runs[0].results.get("pairs_of_people", np.inf),
    }


def labelled(runs: list[Run]) -> dict[str, Run]:
    """{name: Run}, named by their folders, without the fingerprint where no other is named so."""
    plain = [run.folder.name.rpartition("-")[0] for run in runs]
    return {
        name if plain.count(name) == 1 else run.folder.name: run for name, run in zip(plain, runs)
    }


def shown(results: dict, key: str) -> str:
    """A figure with its interval, such as `0.85 [0.72, 0.96]`; a TPR only of enough people."""
    if key == "tpr" and not _carried(results):
        return "too few people"
    return (
        f"{results[key]:.2f} [{results[key + '_low']:.2f}, {results[key + '_high']:.2f}]"
        if f"{key}_low" in results
        else ""
    )


def _carried(results):
    # figures of before they were counted are shown
    return carries(FPR, results.get("pairs_of_people", np.inf))
