"""Classical imputation: scikit-learn where it has the method, planted low rank, and what every imputer promises."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer

from gexcore.baselines.imputers import (
    KNN,
    ChainedEquations,
    GaussianConditional,
    GeneMean,
    MixtureOfFactors,
    ProbabilisticPCA,
    SoftImpute,
    _quicker,
)
from gexcore.gaussian import FactorModel, GaussianModel
from gexcore.levels import Levels
from gexcore.mixture import FactorMixture
from gexcore.scaling import Scaler
from gexcore.tasks import CohortWarning

GENES = [f"g{j}" for j in range(12)]


def cohort(n, *, seed, noise=0.3, scale=2.0):
    """Twelve genes that follow two factors, each at a level of its own."""
    rng = np.random.default_rng(seed)
    loadings = np.random.default_rng(99).normal(size=(2, 12))
    x = scale * (rng.normal(size=(n, 2)) @ loadings + noise * rng.normal(size=(n, 12))) + np.arange(12)
    obs = pd.DataFrame({"age": rng.integers(30, 80, n)}, index=[f"p{seed}-{i}" for i in range(n)])
    return ad.AnnData(x.astype("float32"), obs=obs, var=pd.DataFrame(index=GENES))


def holes(data, rate, seed=0):
    data = data.copy()
    data.X[np.random.default_rng(seed).random(data.shape) < rate] = np.nan
    return data


TRAIN, TEST = cohort(80, seed=0), cohort(30, seed=1)
SHOWN = holes(TEST, 0.4)
HIDDEN = np.isnan(SHOWN.X)
IMPUTERS = {
    "mean": lambda: GeneMean(),
    "median": lambda: GeneMean(statistic="median"),
    "knn": lambda: KNN(n_neighbors=5),
    "chained": lambda: ChainedEquations(n_nearest_features=6),
    "softimpute": lambda: SoftImpute(penalty=0.1),
    "pca": lambda: ProbabilisticPCA(n_factors=2),
    "factors": lambda: ProbabilisticPCA(n_factors=2, equal_noise=False),
    "gaussian": lambda: GaussianConditional(shrinkage=0.1),
    "mixture": lambda: GaussianConditional(shrinkage=0.1, n_components=2),
    "scores": lambda: MixtureOfFactors(n_components=1),
}
every_imputer = pytest.mark.parametrize("name", IMPUTERS)


def error(imputed, truth=TEST, hidden=HIDDEN):
    return np.sqrt(((imputed.X - truth.X)[hidden] ** 2).mean())


# ------------------------------------------------------------------------------ what every imputer promises


@every_imputer
def test_observed_values_stay_to_the_bit_and_every_cell_has_one(name):
    imputed = IMPUTERS[name]().fit(TRAIN).impute(SHOWN)
    assert (imputed.X[~HIDDEN] == TEST.X[~HIDDEN]).all()
    assert np.isfinite(imputed.X).all()
    pd.testing.assert_frame_equal(imputed.obs, TEST.obs)
    assert list(imputed.var_names) == GENES
    assert np.isnan(SHOWN.X).sum() == HIDDEN.sum()  # what was passed in is left alone


@every_imputer
def test_values_finer_than_single_precision_stay_to_the_bit(name):
    fine = ad.AnnData(TEST.X.astype("float64") + 1e-9, obs=TEST.obs, var=TEST.var)
    fine.X[HIDDEN] = np.nan
    imputed = IMPUTERS[name]().fit(TRAIN).impute(fine)
    assert (imputed.X[~HIDDEN] == fine.X[~HIDDEN]).all()


@every_imputer
def test_a_method_that_reads_other_genes_beats_the_gene_mean(name):
    by_mean = error(GeneMean().fit(TRAIN).impute(SHOWN))
    by_this = error(IMPUTERS[name]().fit(TRAIN).impute(SHOWN))
    assert by_mean == pytest.approx(error(TEST, ad.AnnData(np.tile(TRAIN.X.mean(axis=0), (30, 1)))), rel=0.01)
    assert by_this <= 1.02 * by_mean if name in ("mean", "median") else by_this < 0.75 * by_mean


@every_imputer
def test_training_samples_may_have_holes_themselves(name):
    model = IMPUTERS[name]().fit(holes(TRAIN, 0.2, seed=5))
    assert error(model.impute(SHOWN)) < error(GeneMean().fit(TRAIN).impute(SHOWN)) * 1.05


@pytest.mark.parametrize(
    "name", sorted(IMPUTERS.keys() - {"chained", "mixture"})
)  # they draw genes or samples by position
def test_the_order_of_training_samples_and_genes_is_irrelevant(name):
    shuffled = TRAIN[np.random.default_rng(3).permutation(TRAIN.obs_names), GENES[::-1]].copy()
    ours, theirs = (IMPUTERS[name]().fit(t).impute(SHOWN).to_df()[GENES] for t in (TRAIN, shuffled))
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


@every_imputer
def test_a_sample_without_any_value_is_filled_near_the_training_means(name):
    blank = TEST[:1].copy()
    blank.X[:] = np.nan
    filled = IMPUTERS[name]().fit(TRAIN).impute(blank).X[0]
    tolerance = 1.5 if name == "mixture" else 0.5  # a mixture of groups has the means of its groups
    np.testing.assert_allclose(filled, np.median(TRAIN.X, axis=0), atol=tolerance)


@every_imputer
def test_a_gene_nobody_has_is_filled_whether_its_column_is_empty_or_absent(name):
    model = IMPUTERS[name]().fit(TRAIN)
    empty = TEST.copy()
    empty.X[:, 3] = np.nan
    expected = model.impute(empty)
    absent = TEST[:, [g for g in GENES if g != "g3"]].copy()
    with pytest.warns(CohortWarning, match=r"lacks 1 of 12 genes \(first g3\)"):
        imputed = model.impute(absent)
    np.testing.assert_array_equal(imputed.X, expected.X)
    if name not in ("mean", "median"):
        assert np.corrcoef(imputed.X[:, 3], TEST.X[:, 3])[0, 1] > 0.8


@every_imputer
def test_genes_that_were_not_in_training_are_left_out(name):
    model = IMPUTERS[name]().fit(TRAIN[:, GENES[:10]].copy())
    assert list(model.impute(SHOWN).var_names) == GENES[:10]
    np.testing.assert_array_equal(model.impute(SHOWN).X, model.impute(SHOWN[:, GENES[:10]].copy()).X)


@every_imputer
def test_absurd_cells_do_not_reach_other_samples(name):
    spoilt = TRAIN.copy()
    spoilt.X[0, 0] = 1e6
    clean, after = (IMPUTERS[name]().fit(t).impute(SHOWN) for t in (TRAIN, spoilt))
    assert error(after) < 1.3 * error(clean)
    wild = SHOWN.copy()
    wild.X[:, 5] = 1e6
    assert np.abs(IMPUTERS[name]().fit(TRAIN).impute(wild).X[HIDDEN & (np.arange(12) != 5)]).max() < 100


@every_imputer
def test_a_constant_gene_stays_constant(name):
    flat = TRAIN.copy()
    flat.X[:, 2] = 7.0
    filled = IMPUTERS[name]().fit(flat).impute(SHOWN).X[HIDDEN[:, 2], 2]
    np.testing.assert_array_equal(filled, 7.0)


def test_what_cannot_be_done_is_refused_by_name():
    empty = TRAIN.copy()
    empty.X[:, [1, 4]] = np.nan
    with pytest.raises(ValueError, match="2 genes have no value in any training sample, first g1, g4; remove them"):
        GeneMean().fit(empty)
    few = TEST[:, ["g0", "g7"]].copy()
    with pytest.raises(ValueError, match="coverage 17%, min_coverage is 50%"):
        GeneMean().fit(TRAIN).impute(few)
    with pytest.warns(CohortWarning, match="lacks 10 of 12"):
        assert GeneMean().fit(TRAIN).impute(few, min_coverage=0.1).shape == (30, 12)
    with pytest.raises(ValueError, match="statistic must be 'mean' or 'median', not 'mode'"):
        GeneMean(statistic="mode")
    with pytest.raises(ValueError, match="penalty is a number between 0 and 1, not 2"):
        SoftImpute(penalty=2)


# ------------------------------------------------------------------------------------- method by method


REACH = np.abs(Scaler.fit(TRAIN.X, method="zscore", clip=5.0).transform(TRAIN.X)).max()


def standardised(data):
    """The table an imputer is shown, and how to come back from it."""
    scaler = Scaler.fit(TRAIN.X, method="zscore", clip=5.0)
    z = np.where(np.isnan(data.X), np.nan, scaler.transform(data.X)).astype(float)
    return z, lambda filled: filled / scaler.factor + scaler.shift


def test_gene_means_and_medians_are_those_of_training():
    for statistic, function in (("mean", np.mean), ("median", np.median)):
        imputed = GeneMean(statistic=statistic).fit(TRAIN).impute(SHOWN)
        expected = np.tile(function(TRAIN.X, axis=0), (30, 1))[HIDDEN]
        np.testing.assert_allclose(imputed.X[HIDDEN], expected, atol=0.02)  # cut at five standard deviations


def test_neighbours_on_one_panel_are_found_once_and_are_those_of_scikit_learn():
    train, shown = TRAIN.copy(), TEST.copy()
    shown.X[:, 4:] = np.nan
    model = KNN(n_neighbors=7).fit(train)
    z = model.scaler_.standardise(shown.X).astype("float64")
    np.testing.assert_allclose(model._fill(z), model.model_.transform(z), atol=1e-9)
    few = KNN(n_neighbors=500).fit(train)  # more than there are samples
    np.testing.assert_allclose(few._fill(z), few.model_.transform(z), atol=1e-9)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (KNN(n_neighbors=7), KNNImputer(n_neighbors=7)),
        (
            ChainedEquations(n_nearest_features=6, max_iter=3, seed=4),
            IterativeImputer(
                n_nearest_features=6, max_iter=3, tol=0, random_state=4, min_value=-REACH, max_value=REACH
            ),
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*Early stopping criterion not reached")
def test_neighbours_and_chains_are_those_of_scikit_learn_on_the_standardised_table(ours, theirs):
    z, back = standardised(SHOWN)
    expected = back(theirs.fit(standardised(TRAIN)[0]).transform(z))
    np.testing.assert_allclose(ours.fit(TRAIN).impute(SHOWN).X, expected, rtol=1e-3, atol=1e-3)


def test_the_chain_goes_through_all_rounds_though_training_has_no_hole():
    model = ChainedEquations(n_nearest_features=6, max_iter=4).fit(TRAIN)
    assert len(model.model_.imputation_sequence_) == 4 * 12


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (GaussianConditional(shrinkage=0.2), lambda z: GaussianModel.fit(z, shrinkage=0.2)),
        (ProbabilisticPCA(n_factors=3), lambda z: FactorModel.fit(z, n_factors=3, equal_noise=True)),
    ],
)
def test_linear_imputers_restore_the_standardised_table(ours, theirs):
    z, back = standardised(SHOWN)
    expected = back(theirs(standardised(TRAIN)[0]).restore(z)[0])
    np.testing.assert_allclose(ours.fit(TRAIN).impute(SHOWN).X, expected, rtol=1e-4, atol=1e-4)


def test_a_mixture_of_factors_restores_normal_scores_and_expects_the_value_of_their_levels():
    model = MixtureOfFactors(n_components=2, n_factors=3, n_levels=16, seed=1).fit(TRAIN)
    z, back = standardised(SHOWN)
    levels = Levels.fit(standardised(TRAIN)[0].astype("float32"), n_levels=16)
    mixture = FactorMixture.fit(levels.score(standardised(TRAIN)[0]), n_components=2, n_factors=3, seed=1)
    mean, sd = mixture.restore_arrays(levels.score(z))
    share = norm.cdf((norm.ppf(np.arange(17) / 16) - mean[..., None]) / np.maximum(sd, 1e-9)[..., None])
    expected = back((np.diff(share) * levels.values).sum(-1))  # over the levels, by their probability
    np.testing.assert_allclose(model.impute(SHOWN).X[HIDDEN], expected[HIDDEN], atol=1e-3)


def test_a_mixture_of_factors_follows_a_gene_through_any_rising_function():
    bent = {name: data.copy() for name, data in (("train", TRAIN), ("test", TEST), ("shown", SHOWN))}
    for data in bent.values():
        data.X = np.exp(0.7 * (data.X - np.arange(12)))
    spread = bent["train"].X.std(axis=0)
    ours, theirs = (
        np.abs((m.fit(bent["train"]).impute(bent["shown"]).X - bent["test"].X) / spread)[HIDDEN].mean()
        for m in (MixtureOfFactors(n_components=1), GaussianConditional())
    )
    assert ours < 0.9 * theirs


def test_soft_thresholding_recovers_a_table_of_exactly_low_rank():
    train, test = cohort(200, seed=2, noise=0.0), cohort(40, seed=3, noise=0.0)
    model = SoftImpute(penalty=1e-4, max_iter=2000, tolerance=1e-7).fit(holes(train, 0.3))
    hidden = np.isnan(holes(test, 0.3).X)
    enough = hidden & ((~hidden).sum(axis=1, keepdims=True) >= 3)  # two factors need two genes
    assert error(model.impute(holes(test, 0.3)), test, enough) < 0.02 * test.X.std(axis=0).mean()


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("shape", ["long", "wide"])
def test_soft_thresholding_finds_the_least_of_its_objective(rate, shape):
    z, _ = standardised(holes(TRAIN if shape == "long" else TRAIN[:8], rate))
    known = ~np.isnan(z)
    model = SoftImpute(max_iter=3000, tolerance=1e-9)._solver()(z, 0.3)
    penalty = model.noise[0]
    top = np.linalg.norm(np.nan_to_num(z), 2)
    assert penalty == pytest.approx(0.3 * top, rel=1e-6)
    # at the least, a training row is the ridge regression on its observed cells that a new sample would get
    fitted = np.stack([_ridge(row, model.loadings, penalty) for row in z])
    for same in (model, _quicker(model)):
        np.testing.assert_allclose(same.restore(z)[0][~known], fitted[~known], atol=1e-8)
    gap = np.where(known, z - fitted, 0.0)  # and the gap is a subgradient of the norm: the penalty along the table
    assert np.linalg.norm(gap, 2) == pytest.approx(penalty, rel=1e-3)
    singular = np.linalg.svd(fitted, compute_uv=False)
    assert (gap * fitted).sum() == pytest.approx(penalty * singular.sum(), rel=1e-3)


def _ridge(row, loadings, penalty):
    known = loadings[~np.isnan(row)]
    weights = np.linalg.solve(known.T @ known + penalty * np.eye(loadings.shape[1]), known.T @ row[~np.isnan(row)])
    return loadings @ weights


def test_settings_are_chosen_on_training_samples_alone():
    noisy = cohort(120, seed=6, noise=1.5)
    assert KNN(n_neighbors=None).fit(noisy).model_.n_neighbors > KNN(n_neighbors=None).fit(TRAIN).model_.n_neighbors
    strong, weak = (SoftImpute().fit(t).penalty_ for t in (noisy, cohort(120, seed=6, noise=0.1)))
    assert strong > 2 * weak
    assert SoftImpute(penalty=0.2).fit(TRAIN).penalty_ == 0.2
    assert ProbabilisticPCA().fit(cohort(120, seed=6)).model_.loadings.shape[1] == 2
    assert GaussianConditional().fit(TRAIN).model_.covariances.shape == (1, 12, 12)
