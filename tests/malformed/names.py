"""Layouts of others, and names of genes and ids."""

from .kinds import broken, table_of


@broken("expression", "begins with '!Series_title.*a series matrix of GEO: keep what stands between")
def series_matrix_of_geo(text):
    rows = text.replace(",", "\t")
    return f'!Series_title\t"a study"\n!Series_status\t"Public"\n!series_matrix_table_begin\n{rows}'


@broken("expression", "begins with '#1.2', as a GCT file: remove the two lines before its header")
def gct(text):
    body = table_of(text).T
    body.insert(0, "Description", "na")
    return "#1.2\n24\t60\n" + body.to_csv(sep="\t", index_label="NAME")


@broken("clinical", "begins with '#Patient Identifier.*cBioPortal: remove the lines before its header")
def header_of_cbioportal(text):
    rows = text.replace(",", "\t")
    return f"#Patient Identifier\tTime\tEvent\tSubtype\tAge\n#STRING\tNUMBER\tNUMBER\tSTRING\tNUMBER\n{rows}"


@broken("clinical", "begins with '# exported 2024.*remove the lines before its header")
def a_line_of_comment(text):
    return "# exported 2024\n" + text


@broken("expression", "hold text, first 'TP53': 1 cell, first at sample")
def header_in_the_middle_again(text):
    lines = text.splitlines()
    return "\n".join([*lines[:30], lines[0], *lines[30:]])


@broken("expression", "2 genes occur twice or more in the expression table, first MYC, KRAS; pass --duplicate-genes")
def genes_listed_twice(text):
    return text.replace("TP53", "MYC", 1).replace("EGFR", "KRAS", 1)


@broken("expression", "1 sample id occurs twice or more in the expression table, first P00")
def samples_listed_twice(text):
    return text.replace("P01,", "P00,", 1)


@broken("expression", "genes where samples are expected .* pass --genes-as-rows")
def rows_and_columns_swapped(text):
    return table_of(text).T.to_csv()


@broken("expression", r"turned 1 gene names .* into dates, first 1-Mar \(MARCHF1 or MTARC1\); rename or remove them")
def one_gene_is_a_date(text):
    return text.replace("MYC", "1-Mar", 1)


@broken("expression", "turned 24 gene names of the expression table into dates")
def all_genes_are_dates(text):
    return table_of(text).set_axis([f"{i % 12 + 1}-{'Mar' if i < 12 else 'Sep'}" for i in range(24)], axis=1).to_csv()


@broken("expression", r"turned 1 gene names .* first 37317 \(MARCHF2 or MTARC2\)")
def one_gene_is_the_number_of_a_day(text):
    return text.replace("MYC", "37317", 1)


@broken("expression", "1 entries without a gene name, first at position 2")
def a_gene_without_a_name(text):
    return text.replace("MYC", "", 1)


@broken("expression", "1 entries without a sample id, first at position 3")
def a_sample_without_an_id(text):
    return text.replace("P02,", ",", 1)


@broken("clinical", "share no sample id: the first has P00, P01, P02 and 57 more, the second Q00")
def ids_of_other_patients(text):
    return text.replace("\nP", "\nQ")


@broken("clinical", "share no sample id: .* but for upper and lower case")
def ids_in_small_letters(text):
    return text.replace("\nP", "\np")
