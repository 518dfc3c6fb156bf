import itertools

import numpy as np
import pandas as pd
import pytest

from gexcore.cohort import read_cohort
from gexcore.splits import cluster_folds, read_splits, split, split_table, take, write_splits
from gexcore.tasks import Classification, Regression, Survival

TASKS = [Regression("age"), Survival("os", time="time", event="event"), Classification("subtype")]


def make_cohort(n=200, seed=0):
    rng = np.random.default_rng(seed)
    ids = [f"p{i}" for i in range(n)]
    labels = {
        "time": rng.exponential(10, n),
        "event": rng.permutation(np.arange(n) % 4 == 0).astype(float),
        "subtype": rng.permutation(np.resize(["A", "A", "B", "C", None], n)),
        "age": rng.normal(60, 10, n),
        "site": rng.permutation(np.resize(np.repeat(np.arange(20), np.arange(1, 21)), n)),
    }
    x = pd.DataFrame(rng.normal(size=(n, 3)), index=ids, columns=["TP53", "MYC", "KRAS"])
    return read_cohort(x, pd.DataFrame(labels, index=ids))


def ids(parts):
    return [part.obs_names.tolist() for part in parts]


def test_the_parts_divide_the_cohort_in_the_fractions_asked_for():
    cohort = make_cohort()
    parts = split(cohort, TASKS, fractions=(0.6, 0.15, 0.25))
    assert [part.n_obs for part in parts] == [120, 30, 50]
    assert sorted(itertools.chain(*ids(parts))) == sorted(cohort.obs_names)
    for part in parts:
        np.testing.assert_array_equal(part.X, cohort[part.obs_names].X)


def test_events_and_classes_are_spread_evenly():
    cohort = make_cohort()
    for part in split(cohort, TASKS):
        assert part.obs["event"].mean() == pytest.approx(0.25, abs=1 / part.n_obs)
        for subtype in ("A", "B", "C"):
            whole = (cohort.obs["subtype"] == subtype).mean()
            assert (part.obs["subtype"] == subtype).mean() == pytest.approx(whole, abs=2 / part.n_obs)
        assert part.obs["subtype"].isna().mean() == pytest.approx(0.2, abs=2 / part.n_obs)


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_rows():
    cohort = make_cohort()
    shuffled = cohort[np.random.default_rng(3).permutation(cohort.n_obs)]
    for groups in (None, "site"):
        assert ids(split(cohort, TASKS, seed=4, groups=groups)) == ids(split(shuffled, TASKS, seed=4, groups=groups))
        assert ids(split(cohort, TASKS, seed=4, groups=groups)) != ids(split(cohort, TASKS, seed=5, groups=groups))


def test_the_global_random_state_is_neither_used_nor_changed():
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    split(make_cohort(), TASKS)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_rare_strata_are_pooled_rather_than_refused():
    cohort = make_cohort(60)
    cohort.obs["subtype"] = pd.Series(["lone"] + ["pair"] * 2 + ["B"] * 57, cohort.obs_names)
    assert [part.n_obs for part in split(cohort, TASKS)] == [42, 6, 12]
    cohort.obs["subtype"] = [f"class {i}" for i in range(60)]
    assert [part.n_obs for part in split(cohort, TASKS)] == [42, 6, 12]


@pytest.mark.parametrize("n", range(5, 40, 3))
@pytest.mark.parametrize("fractions", [(0.7, 0.1, 0.2), (0.2, 0.2, 0.6), (0.34, 0.33, 0.33)])
def test_small_cohorts_split_or_say_which_part_would_be_empty(n, fractions):
    cohort = make_cohort(n)
    if n * min(fractions) < 0.51:
        with pytest.raises(ValueError, match=rf"{n} samples are too few for fractions .*: val would be empty"):
            split(cohort, TASKS, fractions=fractions)
    else:
        assert sum(part.n_obs for part in split(cohort, TASKS, fractions=fractions)) == n


def test_no_group_is_in_two_parts_and_the_fractions_hold_roughly():
    cohort = make_cohort()
    for seed in range(5):
        parts = split(cohort, TASKS, seed=seed, groups="site")
        sites = [set(part.obs["site"]) for part in parts]
        assert sum(len(part) for part in sites) == cohort.obs["site"].nunique()
        assert [part.n_obs / 200 for part in parts] == pytest.approx([0.7, 0.1, 0.2], abs=0.06)


def test_groups_must_exist_be_complete_and_be_enough():
    cohort = make_cohort()
    with pytest.raises(KeyError, match="groups must name a column of obs; 'hospital' is not among time, event"):
        split(cohort, groups="hospital")
    with pytest.raises(ValueError, match="column 'subtype' is empty for 40 samples, first p"):
        split(cohort, groups="subtype")
    cohort.obs["half"] = np.arange(200) % 2
    with pytest.raises(ValueError, match="2 groups in column 'half' are too few"):
        split(cohort, groups="half")


@pytest.mark.parametrize("fractions", [(0.7, 0.3), (0.8, 0.0, 0.2), (0.7, 0.2, 0.2), (1.2, -0.1, -0.1)])
def test_fractions_that_are_not_three_shares_of_one_are_refused(fractions):
    with pytest.raises(ValueError, match="three positive shares that sum to 1"):
        split(make_cohort(), fractions=fractions)


# ------------------------------------------------------------------------------------ tables of splits


@pytest.mark.parametrize("groups", [None, "site"])
def test_each_column_of_a_table_is_the_split_of_its_seed(groups):
    cohort = make_cohort(60)
    table = split_table(cohort, TASKS, seeds=[4, 0], groups=groups)
    assert list(table.columns) == [4, 0]
    assert set(table.index) == set(cohort.obs_names)
    for seed in table:
        parts, whole = take(cohort, table[seed]), split(cohort, TASKS, seed=seed, groups=groups)
        assert ids(parts) == ids(whole)
        for part, same in zip(parts, whole, strict=True):
            np.testing.assert_array_equal(part.X, same.X)
            pd.testing.assert_frame_equal(part.obs, same.obs)


def test_a_table_holds_ten_splits_of_70_10_20_unless_told_otherwise():
    table = split_table(make_cohort(), TASKS)
    assert list(table.columns) == list(range(10))
    assert (table.apply(pd.Series.value_counts).loc[["train", "val", "test"]].T == [140, 20, 40]).all(axis=None)
    with pytest.raises(ValueError, match="three positive shares that sum to 1"):
        split_table(make_cohort(), fractions=(0.8, 0.2))


def test_the_order_of_samples_in_cohort_and_table_is_irrelevant():
    cohort, shuffle = make_cohort(30), np.random.default_rng(0).permutation(30)
    table = split_table(cohort, seeds=[0])
    assert ids(take(cohort[shuffle], table[0])) == ids(take(cohort, table[0][::-1])) == ids(split(cohort))


def test_a_split_of_other_samples_is_refused():
    cohort = make_cohort(30)
    parts = split_table(cohort, seeds=[0])[0]
    with pytest.raises(ValueError, match="of other samples: 2 only in the cohort, first p11, p12"):
        take(cohort, parts.drop(["p11", "p12"]))
    with pytest.raises(ValueError, match="of other samples: 1 only in the split, first p7"):
        take(cohort[cohort.obs_names != "p7"], parts)
    with pytest.raises(ValueError, match=r"parts cannot divide a cohort: 1 samples are in none .* first p3"):
        take(cohort, parts.where(parts.index != "p3", "validation"))
    with pytest.raises(ValueError, match="parts cannot divide a cohort: samples occur twice, first p0"):
        take(cohort, pd.concat([parts, parts[["p0"]]]))
    with pytest.raises(TypeError, match="parts must be one column of a table of splits, not DataFrame"):
        take(cohort, parts.to_frame())


@pytest.mark.parametrize("columns", [[0, 1, 2], [-1, 10, 2], ["first", "2nd", "3"]])
def test_a_written_table_is_read_as_it_was(tmp_path, columns):
    cohort = make_cohort(30)
    cohort.obs_names = ["007", "8, b", *cohort.obs_names[2:]]
    table = split_table(cohort, TASKS, seeds=range(3)).set_axis(columns, axis=1)
    write_splits(table, tmp_path / "splits.csv")
    again = read_splits(tmp_path / "splits.csv")
    pd.testing.assert_frame_equal(again, table, check_names=False)
    assert ids(take(cohort, again[columns[0]])) == ids(take(cohort, table[columns[0]]))


def test_an_older_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path, table = tmp_path / "splits.csv", split_table(make_cohort(30), seeds=range(3))
    write_splits(table[[0]], path)
    before = path.read_text()

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            write_splits(table, path)
    assert path.read_text() == before
    write_splits(table, str(path))
    assert list(read_splits(str(path))) == [0, 1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["splits.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample,0\np0,train\np1,tain\np2,\n", "2 samples are in none of the parts train, val, test .* first p1, p2"),
        ("sample,0\np0,train\np1,val\np0,test\n", "samples occur twice, first p0"),
        ("sample,0,1\np0,train,val\np1,va", "header has 3 columns but 1 row has more or fewer, first 'p1'"),
    ],
)
def test_damaged_tables_are_refused(tmp_path, text, message):
    path = tmp_path / "splits.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"splits\.csv.*{message}"):
        read_splits(path)


def test_tables_that_could_not_be_read_again_are_not_written(tmp_path):
    table = split_table(make_cohort(30), seeds=[0])
    for name in ("splits", "splits.csv.gz", "splits.parquet"):
        with pytest.raises(ValueError, match=rf"{name}: splits are written as text; give the file the ending .csv"):
            write_splits(table, tmp_path / name)
    with pytest.raises(ValueError, match="the table cannot divide a cohort: 30 samples are in none of the parts"):
        write_splits(table + "ing", tmp_path / "splits.csv")
    assert not list(tmp_path.iterdir())


# -------------------------------------------------------------------------------------- cluster folds


@pytest.fixture
def planted():
    """Two hundred patients in clusters of 80, 60, 40 and 20, and where they lie."""
    cohort = make_cohort()
    kind = np.random.default_rng(1).permutation(np.repeat([2, 0, 3, 1], [80, 60, 40, 20]))
    centres = np.array([[0, 0], [20, 0], [0, 20], [20, 20]])
    points = centres[kind] + np.random.default_rng(2).normal(size=(200, 2))
    return cohort, pd.DataFrame(points, index=cohort.obs_names), pd.Series(kind, index=cohort.obs_names)


def test_planted_clusters_become_the_test_parts_largest_first(planted):
    cohort, points, kind = planted
    folds = cluster_folds(cohort, points, TASKS, n_folds=4)
    assert list(folds.columns) == [1, 2, 3, 4]
    assert (folds == "test").sum(axis=1).eq(1).all()  # every patient is tested once
    for fold, cluster in zip(folds, [2, 0, 3, 1], strict=True):
        assert set(folds.index[folds[fold] == "test"]) == set(kind.index[kind == cluster])
    assert (folds == "val").sum().tolist() == [15, round(140 / 8), 20, round(180 / 8)]


@pytest.mark.parametrize("task", TASKS[1:], ids=["event", "subtype"])
def test_validation_parts_of_folds_are_stratified(planted, task):
    cohort, points, _ = planted
    labels = cohort.obs[task.columns[-1]].astype(str)
    folds = cluster_folds(cohort, points, task, n_folds=4, val=0.25)
    for fold in folds:
        counts = pd.crosstab(labels, folds[fold])
        np.testing.assert_allclose(counts["val"], (counts["val"] + counts["train"]) / 4, atol=1)


def test_folds_depend_on_the_seed_and_not_on_the_order_of_rows(planted):
    cohort, points, _ = planted
    shuffle = np.random.default_rng(3).permutation(200)
    folds = cluster_folds(cohort, points, TASKS, seed=1)
    pd.testing.assert_frame_equal(cluster_folds(cohort[shuffle], points[::-1], TASKS, seed=1), folds)
    assert not cluster_folds(cohort, points, TASKS, seed=2).equals(folds)


def test_folds_survive_writing(planted, tmp_path):
    folds = cluster_folds(*planted[:2], n_folds=4)
    write_splits(folds, tmp_path / "folds.csv")
    pd.testing.assert_frame_equal(read_splits(tmp_path / "folds.csv"), folds, check_names=False)


def test_embeddings_and_settings_that_give_no_folds_are_refused(planted):
    cohort, points, _ = planted

    def refused(message, embedding, **settings):
        with pytest.raises(ValueError, match=message):
            cluster_folds(cohort, embedding, TASKS, **settings)

    refused("2 samples have no row in the embedding, first p0, p1", points[2:])
    refused("1 rows of the embedding are repeated or not finite, first p5", pd.concat([points, points.loc[["p5"]]]))
    refused("1 rows of the embedding are repeated or not finite, first p9", points.drop("p9").reindex(points.index))
    refused("n_folds must be 2 to half the 200 samples and val a share, not 1 and 0.125", points, n_folds=1)
    refused("not 101 and 0.125", points, n_folds=101)
    refused("not 4 and 1", points, n_folds=4, val=1)
    refused("5 clusters need as many different patients; the embedding has 4 different rows", (points / 20).round())
    lone = points * 0
    lone.iloc[0] = 1.0
    refused("the largest cluster leaves 1 samples, too few for a training part", lone, n_folds=2)
