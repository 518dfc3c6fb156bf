# What R's survival package says of its own data, as survival.json: Rscript survival.R > survival.json
#
# The file that is stored holds what the package's own tests and examples print, three digits or more, each with the
# recorded output it was read from. This script makes it anew where R is, with all digits; jsonlite writes it.

library(survival)
library(jsonlite)

aml2 <- data.frame(time = aml$time, status = aml$status, x = as.integer(aml$x == "Nonmaintained"))
ovarian2 <- with(ovarian, data.frame(time = futime, status = fustat, age, resid.ds, rx, ecog.ps))
lung2 <- transform(lung, status = status - 1)
# appendix of Therneau and Grambsch (2000), Modeling Survival Data: the first data set, without its missing row
book <- data.frame(time = c(9, 1, 1, 6, 6, 8), status = c(1, 1, 0, 1, 1, 0), x = c(0, 1, 1, 1, 0, 0))
ranked <- data.frame(aml2[aml2$x == 0, c("time", "status")], x = c(1, 6, 2, 7, 3, 7, 3, 8, 4, 4, 5))
tables <- list(aml = aml2, ovarian = ovarian2, lung = lung2, book = book, ranked = ranked)
source <- paste("survival", packageVersion("survival"), "of", R.version.string)

curve <- function(data, times, where = setNames(list(), character())) {
  rows <- tables[[data]]
  for (column in names(where)) rows <- rows[which(rows[[column]] == where[[column]]), ]
  fit <- survfit(Surv(time, status) ~ 1, rows)
  list(data = data, where = where, times = times, survival = summary(fit, times = times)$surv, source = source)
}

log_rank <- function(data, by) {
  fit <- survdiff(reformulate(by, "Surv(time, status)"), tables[[data]])
  list(data = data, by = by, statistic = fit$chisq, source = source)
}

cox <- function(data, columns, ties = NULL) {
  method <- if (is.null(ties)) "breslow" else ties  # without ties in time they agree
  fit <- coxph(reformulate(columns, "Surv(time, status)"), tables[[data]], ties = method)
  p <- summary(fit)$logtest[["pvalue"]]
  list(data = data, ties = ties, coefficients = as.list(coef(fit)), p = p, source = source)
}

breslow <- function(data) {
  fit <- survfit(coxph(Surv(time, status) ~ x, tables[[data]], ties = "breslow", eps = 1e-8), censor = FALSE)
  list(data = data, times = fit$time, survival = fit$surv, source = source)
}

pairs <- function(data, x) {
  count <- concordance(reformulate(x, "Surv(time, status)"), tables[[data]])$count
  list(data = data, x = x, concordant = count[["concordant"]], discordant = count[["discordant"]],
       tied = count[["tied.x"]], source = source)
}

months <- c(30 * 1:11, 365, 730)
golden <- list(
  data = tables[c("aml", "ovarian", "book", "ranked")],
  kaplan_meier = list(
    curve("aml", c(9, 13, 18, 23, 31, 34, 48), list(x = 0)),
    curve("aml", c(5, 8, 12, 23, 27, 30, 33, 43, 45), list(x = 1)),
    curve("aml", sort(unique(aml$time))),
    curve("ovarian", c(59, 115, 156, 268, 329, 353, 365, 377, 421, 431, 448, 464, 475, 477, 563, 638, 744, 1227)),
    curve("ovarian", c(59, 115, 156, 268, 329, 431, 638), list(rx = 1)),
    curve("ovarian", c(353, 365, 464, 475, 563), list(rx = 2)),
    curve("lung", months, list(ph.ecog = 0)),
    curve("lung", months, list(ph.ecog = 1)),
    curve("lung", months, list(ph.ecog = 2))
  ),
  log_rank = list(log_rank("aml", "x"), log_rank("ovarian", "rx")),
  cox = list(
    cox("aml", "x", "breslow"),
    cox("aml", "x", "efron"),
    cox("ovarian", "age"),
    cox("ovarian", "resid.ds"),
    cox("ovarian", "rx"),
    cox("ovarian", "ecog.ps"),
    cox("ovarian", c("resid.ds", "rx", "ecog.ps")),
    cox("ovarian", c("age", "rx", "ecog.ps")),
    cox("ovarian", c("age", "resid.ds", "ecog.ps")),
    cox("ovarian", c("age", "resid.ds", "rx"))
  ),
  breslow = list(breslow("book")),
  concordance = list(pairs("ranked", "x"), pairs("lung", "ph.ecog"))
)
cat(toJSON(golden, dataframe = "columns", auto_unbox = TRUE, null = "null", digits = NA, pretty = TRUE), "\n")
