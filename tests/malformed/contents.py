"""Cells and labels."""

import numpy as np

from .kinds import broken, table_of, with_cells


@broken("expression", r"1 column .* holds text, first 'MYC': 2 cells, first at P01, P02 \(low\)")
def text_in_cells(text):
    return with_cells(text, "MYC", "low")


@broken("expression", r"holds text, first 'MYC': .* \(#REF!\)")
def broken_references(text):
    return with_cells(text, "MYC", "#REF!")


@broken("expression", r"holds text, first 'MYC': .* \(#DIV/0!\)")
def divisions_by_zero(text):
    return with_cells(text, "MYC", "#DIV/0!")


@broken("expression", "holds 2 infinite values, first in gene 'MYC' at P01, P02")
def infinite_cells(text):
    return with_cells(text, "MYC", "inf")


@broken("expression", "holds text, first 'subtype'")
def clinical_columns_among_genes(text):
    return table_of(text).assign(subtype="basal").to_csv()


@broken("clinical", "column 'os_time' holds 2 negative times, first at P01, P02")
def negative_times(text):
    return with_cells(text, "os_time", -3)


@broken("clinical", r"column 'os_time' must hold numbers: 60 cells do not, first at P00.*\(2019-03-04\)")
def times_that_are_dates(text):
    return table_of(text).assign(os_time="2019-03-04").to_csv()


@broken("clinical", r"column 'os_event' must be 1 \(event\) or 0 \(censored\): 2 cells hold 2")
def events_of_three_kinds(text):
    return with_cells(text, "os_event", 2)


@broken("clinical", r"column 'os_event' must hold numbers: 60 cells do not, .*\(dead, alive\)")
def events_in_words(text):
    return table_of(text).assign(os_event=np.tile(["dead", "alive"], 30)).to_csv()


@broken("clinical", "task 'os' has no event among its")
def nobody_has_the_event(text):
    return table_of(text).assign(os_event=0).to_csv()


@broken("clinical", r"task 'subtype' needs two classes or more .* found basal")
def one_class_only(text):
    return table_of(text).assign(subtype="basal").to_csv()


@broken("clinical", "task 'subtype' has .* classes in .* samples: is it for --numbers")
def a_class_for_every_patient(text):
    return table_of(text).assign(subtype=[f"kind {i}" for i in range(60)]).to_csv()


@broken("clinical", "task 'os' .*labelled|task 'os' has no event among its 0 labelled|no label")
def no_label_at_all(text):
    return table_of(text).assign(os_time=np.nan, os_event=np.nan).to_csv()


@broken("clinical", "1 column name occurs twice or more in the clinical table, first os_time")
def columns_listed_twice(text):
    return text.replace("age", "os_time", 1)


@broken("clinical", "2 sample ids occur twice or more in the clinical table, first P00, P01; keep one row")
def patients_listed_twice(text):
    lines = text.splitlines()
    return "\n".join([*lines, *lines[1:3]]) + "\n"


@broken("clinical", "task 'os' needs column 'os_time'; the clinical table has months, os_event, subtype, age")
def a_column_of_another_name(text):
    return text.replace("os_time", "months", 1)
