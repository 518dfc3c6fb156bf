"""Survival against what R's survival package prints (goldens/survival.json), and against cases counted by hand."""

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from lifelines.datasets import load_lung
from scipy.optimize import minimize
from scipy.stats import chi2

from gexcore.anchors import univariate_cox
from gexcore.baselines import RidgeCox
from gexcore.baselines.autosurv import breslow_hazard
from gexcore.losses import cox_loss
from gexcore.metrics import brier_score, c_index, c_index_ipcw, cumulative_auc, kaplan_meier
from gexcore.report.patients import risk_groups
from gexcore.tasks import Survival, SurvivalPrediction

GOLDEN = json.loads((Path(__file__).parent / "goldens" / "survival.json").read_text(encoding="utf-8"))
DATA = {name: pd.DataFrame(columns) for name, columns in GOLDEN["data"].items()} | {"lung": load_lung()}
OS = Survival("os", time="time", event="status")


def printed(values):
    """Equal to three significant digits, as R prints them."""
    return [pytest.approx(v, abs=0.505 * 10 ** (np.floor(np.log10(abs(v) or 1.0)) - 2)) for v in values]


def of(golden):
    table = DATA[golden["data"]]
    for column, value in golden.get("where", {}).items():
        table = table[table[column] == value]
    return table, table["time"].to_numpy(float), table["status"].to_numpy(float)


def expression(table, columns):
    index = [f"p{i}" for i in range(len(table))]
    genes = pd.DataFrame(index=list(columns))
    return ad.AnnData(
        table[list(columns)].to_numpy("float32"), obs=table[["time", "status"]].set_axis(index), var=genes
    )


def each(name, **only):
    cases = [g for g in GOLDEN[name] if all(g[key] in values for key, values in only.items())]
    told = [f"{g['data']} {' '.join(map(str, g.get('coefficients') or g.get('where') or []))}".strip() for g in cases]
    return pytest.mark.parametrize("golden", cases, ids=told)


# --------------------------------------------------------------------------------------------------- R


@each("kaplan_meier")
def test_kaplan_meier_is_that_of_r(golden):
    _, time, event = of(golden)
    assert kaplan_meier(time, event)(np.array(golden["times"])).tolist() == printed(golden["survival"])


@each("log_rank")
def test_the_log_rank_test_of_a_report_is_that_of_r(golden):
    table, *_ = of(golden)
    group = table[golden["by"]]
    p = risk_groups(SurvivalPrediction(OS, group), table, cut=group.mean()).p
    assert [chi2.isf(p, 1)] == printed([golden["statistic"]])


@each("cox", ties=["breslow", None])
def test_the_least_cox_loss_is_at_the_coefficients_of_r(golden):
    table, time, event = (torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in of(golden))
    x = torch.from_numpy(table[list(golden["coefficients"])].to_numpy(float))  # (N, C)
    x = x - x.mean(0)

    def loss(coefficients):
        b = torch.tensor(coefficients, requires_grad=True)
        value = cox_loss(x @ b, time, event) * event.sum()
        value.backward()
        return value.item(), b.grad.numpy()

    start = np.zeros(x.shape[1])
    least = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-6})
    assert least.x.tolist() == printed(golden["coefficients"].values())
    assert [chi2.sf(2 * (loss(start)[0] - least.fun), x.shape[1])] == printed([golden["p"]])


@each("cox", ties=["breslow", None])
def test_a_ridge_that_vanishes_leaves_the_coefficients_of_r(golden):
    columns = list(golden["coefficients"])
    data = expression(of(golden)[0], columns)
    model = RidgeCox(OS, penalty=1e-6, clip=None).fit(data)
    steps = ad.AnnData(
        np.vstack([np.zeros(len(columns)), np.eye(len(columns))]).astype("float32"),
        obs=pd.DataFrame(index=["zero", *columns]),
        var=data.var,
    )
    risk = model.predict(steps)["os"].risk
    assert (risk[columns] - risk["zero"]).tolist() == printed(golden["coefficients"].values())


@each("cox", ties=["efron"])
def test_cox_models_gene_by_gene_break_ties_as_r_does(golden):
    ((column, coefficient),) = golden["coefficients"].items()
    table = of(golden)[0]
    row = univariate_cox(expression(table, [column]), OS).loc[column]
    assert [row["coefficient"] / table[column].std(ddof=0), row["p"]] == printed([coefficient, golden["p"]])


def test_the_loss_of_the_textbook_is_its_closed_form():
    # appendix of Therneau and Grambsch 2000: r = exp(coefficient), the best one has r = 3/2 + sqrt(33)/2
    table, time, event = of({"data": "book"})
    best = np.log(1.5 + np.sqrt(33) / 2)
    for b in (0.0, -1.0, best):
        f = torch.tensor(b * table["x"].to_numpy(float), requires_grad=True)
        loss = cox_loss(f, torch.from_numpy(time), torch.from_numpy(event))
        loss.backward()
        r = np.exp(b)
        assert -4 * loss.item() == pytest.approx(2 * b - np.log(3 * r + 3) - 2 * np.log(r + 3))
        slope = (f.grad.numpy() * table["x"]).sum()
        assert -4 * slope == pytest.approx((6 + 3 * r - r**2) / ((r + 1) * (r + 3)), abs=1e-12)
    golden = GOLDEN["breslow"][0]
    times, hazard = breslow_hazard(best * (table["x"].to_numpy(float) - 0.5), time, event)  # of the mean patient
    assert times.tolist() == golden["times"]
    assert np.exp(-hazard).tolist() == printed(golden["survival"])


@each("concordance")
def test_concordance_is_that_of_the_pairs_that_r_counts(golden):
    table, *_ = of(golden)
    table = table.dropna(subset=golden["x"])
    # for R a pair is concordant where the higher x lives longer
    found = c_index(table["time"].to_numpy(), table["status"].to_numpy(), -table[golden["x"]].to_numpy())
    total = golden["concordant"] + golden["discordant"] + golden["tied"]
    assert found == pytest.approx((golden["concordant"] + golden["tied"] / 2) / total)


# --------------------------------------------------------------------------------------------- by hand


def test_kaplan_meier_of_the_first_trial_of_6_mercaptopurine_is_as_by_hand():
    # weeks of remission under 6-MP, Freireich et al. 1963, Blood 21:699; curve as by Gehan 1965, Biometrika 52:203
    events, censored = [6, 6, 6, 7, 10, 13, 16, 22, 23], [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    curve = kaplan_meier(np.array(events + censored, float), np.repeat([1.0, 0.0], [9, 12]))
    factors = [18 / 21, 16 / 17, 14 / 15, 11 / 12, 10 / 11, 6 / 7, 5 / 6]
    assert curve(np.unique(events)) == pytest.approx(np.cumprod(factors))
    assert curve(np.array([5.9, 100.0])) == pytest.approx([1, np.prod(factors)])


def test_weighted_scores_of_five_patients_are_as_by_hand():
    time, event = np.array([1.0, 2, 3, 4, 5]), np.array([1.0, 0, 1, 0, 1])
    risk, curve = np.array([5.0, 1.0, 3.5, 4.0, 3.0]), np.array([[0.2], [0.9], [0.4], [0.7], [0.8]])
    censored_after = kaplan_meier(time, event, censoring=True)
    assert censored_after(time) == pytest.approx([1, 3 / 4, 3 / 4, 3 / 8, 3 / 8])
    # Uno: the event at 1 has weight 1 and wins all four pairs, that at 3 has 16/9 and wins one of two
    concordance = c_index_ipcw(time, event, risk, censored_after=censored_after, horizon=4.5)
    assert concordance == pytest.approx((4 + 16 / 9) / (4 + 2 * 16 / 9))
    known = {"times": np.array([3.0]), "censored_after": censored_after}
    # Graf: events weigh 1 and 4/3, those free after 3 weigh 4/3, who was censored at 2 weighs nothing
    squares = 0.2**2 + (0.4**2 + 0.3**2 + 0.2**2) * 4 / 3
    assert brier_score(time, event, curve, **known) == pytest.approx([squares / 5])
    # cases at 1 and 3, controls at 4 and 5: the first wins both, the second one
    assert cumulative_auc(time, event, risk, **known)[0] == pytest.approx([(2 + 4 / 3) / (2 * (1 + 4 / 3))])
