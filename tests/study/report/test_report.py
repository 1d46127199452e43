"""What is told of a study: tables, figures, one page; and that nothing leaks from outcomes."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.study_cohort import write_study_cohort
from wslpet.analysis.statistics import Estimate
from wslpet.study.design.paper import PAPER
from wslpet.study.design.study import open_study
from wslpet.study.execution.schedule import make_study
from wslpet.study.execution.stability import measured_stability
from wslpet.study.report.report import write_report
from wslpet.study.results.outcomes import Known, Outcome, Shuffled, outcome_of, shuffled
from wslpet.study.results.results import read_results
from wslpet.study.results.tables import all_tables
from wslpet.study.results.text_table import Table
from wslpet.study.systems import SYSTEMS
from wslpet.study.systems.system import FittedSystem, Prediction

DATA = "16 phantom (blobs) patients"
PAPER_TEXT = Path(__file__).resolve().parents[4] / "shared" / "paper"


def half(patients, plan, report):
    """Stands for ours: right in the first half of the cohort, and finds nothing in the other."""

    def find(patient, volume):
        truth = patient.truth(volume)
        return Prediction(truth if patient.row.number < 10 else np.zeros_like(truth), "lung")

    return FittedSystem(find)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    table = write_study_cohort(tmp_path_factory.mktemp("cohort"), 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SYSTEMS, "ours", replace(SYSTEMS["ours"], learn=half, features=("volume_ml", "suv_max")))
        names = ("ours", "click-41", "mtv", "suv-max")
        study = open_study(table, tmp_path_factory.mktemp("study"), "try", systems=names)
        make_study(study)
        yield read_results(study, measured_stability(study))


def table_of(results, name):
    return next(table for table in all_tables(results, DATA) if table.name == name)


def test_dice_is_of_all_patients_in_the_cohorts_order(results):
    dice = results.systems["ours"].dice()
    np.testing.assert_array_equal(dice, [1.0] * 8 + [0.0] * 8)
    np.testing.assert_array_equal(results.systems["ours"].dice("lung"), [1.0] * 4 + [0.0] * 4)


def test_a_system_with_a_fold_missing_is_left_out(results):
    study = replace(results.study, names=("ours", "cams"))
    assert set(read_results(study).systems) == {"ours"}


def test_volume_tells_the_outcome_where_it_does(results):
    """Good outcomes have smaller blobs: MTV knows, SUVmax, drawn without regard, does not."""
    mtv, suv_max = (results.systems[name].outcomes["lung"] for name in ("mtv", "suv-max"))
    assert isinstance(mtv, Outcome) or "rarer outcome" in mtv
    assert type(mtv) is type(suv_max)


def test_tables_name_the_data_and_stand_beside_the_paper(results):
    table = table_of(results, "oesophagus-paper")
    assert table.title.startswith("Table 1. Segmentation and treatment response, oesophagus") and DATA in table.title
    ours = dict(zip(table.head, next(row for row in table.rows if row[0] == "ours"), strict=True))
    assert ours["Dice, paper"] == "0.73 ± 0.09"
    assert ours["Dice, here"].startswith("0.50 ± ")
    assert ours["AUC, paper"] == "0.67 ± 0.08"
    for one in all_tables(results, DATA):
        assert DATA in one.title or one.name == "systems"


def test_delineation_has_intervals_and_a_test(results):
    table = table_of(results, "delineation")
    rows = {row[0]: dict(zip(table.head, row, strict=True)) for row in table.rows}
    assert set(rows) == {"ours", "click + 41 %"}  # what finds another's mask has no Dice of its own
    assert rows["ours"]["p"] == rows["ours"]["effect"] == "–"
    assert rows["ours"]["detected %"] == rows["ours"]["strictly %"] == rows["ours"]["type %"] == "50 [28–72]"
    assert re.fullmatch(r"0\.50 \[0\.\d\d–0\.\d\d\]", rows["ours"]["Dice"])
    assert rows["click + 41 %"]["given at test time"] == "a click"
    assert -1 <= float(rows["click + 41 %"]["effect"]) <= 1
    assert results.adjusted_dice_p() == {"click-41": results.dice_p("click-41")}  # one test: nothing to adjust


def test_a_system_that_did_not_learn_the_types_has_no_dice(results):
    """Ours calls everybody "lung" here, which is right for half of them."""
    ours = results.systems["ours"]
    needing = replace(ours, system=replace(ours.system, needs_type=True))
    assert ours.learned_types and not needing.learned_types and needing.commonest_share == 0.5
    unlearned = replace(results, systems={**results.systems, "ours": needing})
    table = table_of(unlearned, "delineation")
    row = dict(zip(table.head, next(row for row in table.rows if row[0] == "ours"), strict=True))
    assert row["Dice"] == "did not learn the types" and row["detected %"] == "–" and row["type %"] == "50 [28–72]"
    assert "50 %: did not learn the types" in table.notes[-1]
    paper = table_of(unlearned, "lung-paper")
    assert next(row for row in paper.rows if row[0] == "ours")[2] == "did not learn the types"
    right = tuple(replace(one, predicted=one.cancer_type) for one in ours.measured)
    assert replace(needing, measured=right).learned_types


def test_latex_escapes_what_tex_would_swallow():
    latex = Table("a", "5 % & more ± ≥ 2", ("x_1", "y"), (("a & b", "< 1"),)).latex()
    assert r"5 \% \& more $\pm$ $\geq$ 2" in latex
    assert r"x\_1 & y \\" in latex
    assert r"a \& b & $<$ 1 \\" in latex


@pytest.mark.skipif(not PAPER_TEXT.is_dir(), reason="the paper's text is not here")
def test_the_papers_figures_are_the_papers():
    text = "\n".join(path.read_text() for path in PAPER_TEXT.glob("*.txt")).replace("00.58", "0.58")
    for rows in PAPER.values():
        for name, figures in rows.items():
            cells = [f"{mean:.2f}±{spread:.2f}" for mean, spread in figures.values()]
            assert re.search(re.escape(name) + r"[\s/]+" + r"[\s/]+".join(map(re.escape, cells)), text), name


def test_the_report_is_one_page_that_needs_nothing_else(results):
    page = write_report(results, DATA, ["python", "-m", "wslpet", "study", "a cohort"])
    html = page.read_text()
    folder = results.study.folder
    assert DATA in html and "Research software, not for clinical use" in html
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert html.count("data:image/png;base64,") == len(list((folder / "figures").glob("*.png")))
    assert "python -m wslpet study &#x27;a cohort&#x27;" in html
    markdown = (folder / "tables.md").read_text()
    assert "**Table 1." in markdown and "versions" in markdown and "hardware" in markdown
    assert (folder / "tables.tex").read_text().count(r"\begin{table}") == len(all_tables(results, DATA))
    assert len((folder / "patients.csv").read_text().splitlines()) == 1 + 4 * 16


def test_features_are_measured_again_and_again(results):
    assert results.stability.patients == 2
    assert set(results.stability.icc) == {"seed", "threshold"}
    assert all(value <= 1 + 1e-9 for values in results.stability.icc.values() for value in values.values())


def known_of(n: int, seed: int = 0) -> Known:
    rng = np.random.default_rng(seed)
    outcomes = rng.permutation(np.arange(n) % 2)
    return Known(
        [f"p{i}" for i in range(n)], [f"p{i}" for i in range(n)], outcomes, list(np.array_split(np.arange(n), 5))
    )


def features_of(known: Known, signal: float) -> dict[str, dict[str, float]]:
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(len(known.names), 20))
    noise[:, 3] += signal * known.outcomes
    return {name: {f"f{i}": value for i, value in enumerate(row)} for name, row in zip(known.names, noise, strict=True)}


def test_what_features_know_is_found_and_shuffling_takes_it_away():
    known = known_of(60)
    features = features_of(known, 3.0)
    found = outcome_of(known, {}, features, 0)
    assert isinstance(found, Outcome) and found.performance.pooled["auc"].value > 0.85
    nothing = shuffled(known, features, 16, 0)
    assert nothing.holds
    assert nothing.p_of(found.performance.fold_mean["auc"]) == pytest.approx(1 / 17)


def test_a_leak_would_be_seen():
    leaky = Shuffled(Estimate(0.7, 0.6, 0.8), (0.65, 0.75))
    assert not leaky.holds


def test_too_few_outcomes_are_a_reason_not_a_figure():
    known = Known(["a", "b"], ["a", "b"], np.array([0, 1]), [np.array([0]), np.array([1])])
    features = {"a": {"f": 1.0}, "b": {"f": 2.0}}
    assert "rarer outcome" in outcome_of(known, {}, features, 0)
    assert "rarer outcome" in shuffled(known, features, 2, 0)
    assert outcome_of(Known([], [], np.array([], int), []), {}, {}, 0) == "no outcome known"
    assert outcome_of(known, {"a": float("nan"), "b": 0.5}, {}, 0) == "too few outcomes to learn from"
