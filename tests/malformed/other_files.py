"""Tasks, gene sets, networks and gene tables."""

import gzip

from .kinds import GENES, broken


@broken("tasks", r"tasks.json is not a list of tasks: no valid JSON in line \d+; was it cut short")
def json_cut_short(text):
    return text[:-30]


@broken("tasks", r"tasks.json is not a list of tasks: it must be \[")
def json_that_is_no_list(text):
    return '{"kind": "survival"}'


@broken("tasks", "tasks.json .* no valid JSON in line 1")
def a_table_in_place_of_tasks(text):
    return "name,time,event\nos,os_time,os_event\n"


@broken("tasks", "tasks.json is not a list of tasks: entry 3 has no known kind; the kinds are survival, class")
def a_task_of_unknown_kind(text):
    return text.replace("regression", "ranking")


@broken("tasks", "entry 1 has name, time, events, but a survival has name, time, event, all of them")
def a_survival_task_without_its_event(text):
    return text.replace('"event"', '"events"')


@broken("tasks", "task 'age' needs column 'years'; the clinical table has os_time, os_event, subtype, age")
def a_task_of_an_absent_column(text):
    return text.replace('"name": "age"', '"name": "age", "column": "years"')


@broken("tasks", "tasks.json is not a list of tasks")
def a_list_without_a_task(text):
    return "[]"


@broken("tasks", "tasks.json is not a list of tasks: no valid JSON")
def tasks_in_utf16_cut_short(text):
    return text.encode("utf-16")[:-31]


@broken("gene-sets", "sets.gmt: the file holds no gene set")
def no_gene_set(text):
    return "\n"


@broken("gene-sets", "has no gene; a line is name, description, genes, with tabs")
def commas_between_genes(text):
    return text.replace("\t", ",")


@broken("gene-sets", "the 2 gene sets share no gene with the cohort")
def gene_sets_of_other_genes(text):
    for gene in GENES:
        text = text.replace(gene, gene.lower().title() + "x")
    return text


@broken("gene-sets", "not a UTF-8 text .* unpack or save it again")
def gene_sets_compressed(text):
    return gzip.compress(text.encode())


@broken("network", "the list of edges has no header line: gene .* stands in its place; add one")
def network_without_a_header(text):
    return text.split("\n", 1)[1]


@broken("network", "column 'score' holds 23 scores that are not numbers from 0 up, first high")
def network_with_scores_in_words(text):
    return text.replace("900", "high")


@broken("gene-table", "no column of symbols in the gene table, which has id, chromosome, strand; call them 'id' and")
def gene_table_without_symbols(text):
    return "id,chromosome,strand\n1001,17,-\n1002,8,+\n"


@broken("gene-table", "no row of the gene table has both a symbol")
def gene_table_without_a_pair(text):
    return "id,symbol\n1001,\n1002,-\n"


@broken("gene-table", "a web page; what you meant to download may need a login")
def web_page_in_place_of_a_genetable_of(text):
    return "<html><body>moved</body></html>"


@broken("gene-table", "the gene table names 0 of 24 genes: coverage 0%")
def gene_table_of_other_identifiers(text):
    return "id,symbol\n" + "".join(f"ENSG{i:011d},G{i}\n" for i in range(50))
