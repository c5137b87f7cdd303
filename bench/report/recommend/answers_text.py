"""``answers.md``: the answers in plain words, each with its evidence."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bench.contract import Baseline
from bench.data.splits.protocols import unseen
from bench.evaluation.metrics.metric import Metric
from bench.report.aggregate.overall import ALPHA, Overall
from bench.report.aggregate.overall_text import caution
from bench.report.recommend.answers import QUESTIONS, Answer, Rival, TableAnswers, Training, verdict_of
from bench.report.tables.footnotes import notes
from bench.report.tables.frame import counted, draws_of
from bench.report.tables.groups import Row
from bench.report.tables.wording import FIRST_RUN, days, many, markdown_table, p_value

_SHOWN = 3  # of the rows that can be told from a winner: the nearest


def answers_page(found: Sequence[TableAnswers], overall: Overall) -> str:
    """Return the whole page as Markdown."""
    lines = ["# Answers", "", _made(found), ""]
    if found:
        lines += [_glance(found), "", _LEGEND.format(metric=found[0].table.metric.name), ""]
    lines += ["## All data sets", "", *_overall(found, overall), "", "## New classes", "", *_new_classes(found), ""]
    for one in found:
        lines += [f"## {one.table.title}", "", *_table(one), ""]
    return "\n".join(lines).rstrip() + "\n"


def _made(found: Sequence[TableAnswers]) -> str:
    records = [record for one in found for row in one.table.rows for record in row.records]
    if not records:
        return f"No finished runs yet. Start with `{FIRST_RUN}`."
    failed = sum(len(one.table.failed) for one in found)
    lost = f" and {many(failed, 'failed run')}" if failed else ""
    when = days(record.result.provenance.date for record in records)
    made = f"{many(len(records), 'finished run')}{lost}"
    return (
        f"Which method should you use? Made by `simbench leaderboard` from {made} ({when}) and from nothing else. "
        "All rows: [leaderboard.md](leaderboard.md); one line a run: [runs.csv](runs.csv). "
        "`simbench report` shows figures and retrieved pictures."
    )


def _glance(found: Sequence[TableAnswers]) -> str:
    heads = ["data set · protocol", *(question.short for question in QUESTIONS), "training against frozen"]
    rows = []
    for one in found:
        cells = [_brief(answer) for answer in one.answers]
        rows.append([one.table.title, *cells, _brief_training(one.training)])
    return markdown_table(heads, rows)


def _brief(answer: Answer) -> str:
    if answer.winner is None:
        return "none"
    ties = f" (or {len(answer.tied)} more)" if answer.tied else ""
    return f"`{answer.winner.name}` {number_in_words(answer.winner)}{ties}"


def _brief_training(training: Training | None) -> str:
    if training is None:
        return "-"
    ahead = training.rival.behind
    told = f"{'better' if ahead > 0 else 'worse'} by {abs(ahead):.3f}" if training.rival.separable else "cannot be told"
    apart = [f"{verdict_of(rival)} in {metric.name}" for metric, rival in training.otherwise]
    return f"{told} ({', '.join(apart)})" if apart else told


def _table(one: TableAnswers) -> list[str]:
    """Return the lines of one table: who wins under which constraint, what training brought, what cannot be told."""
    if not one.table.rows:
        return ["Every run failed: [leaderboard.md](leaderboard.md) says why."]
    kept = "the queries are not kept" if one.queries is None else many(one.queries, "query", "queries")
    asked = one.table.queries or kept
    below = one.table.every_row
    every = f" Every row: {'; '.join(below)}." if below else ""
    lines = [f"{many(len(one.table.rows), 'row')}, {asked}.{every}", ""]
    lines += [f"- {_sentence(answer, one.answers[0], below)}" for answer in one.answers]
    lines.append(f"- {_training(one.training)}")
    lines += [f"- {line}" for line in _untold(one)]
    leaks = sorted({"; ".join(texts) for row in one.table.rows for texts in row.frame["leaks"] if texts})
    lines += [f"- **Leak**: {text}." for text in leaks]
    if one.table.failed:
        lines.append(f"- {many(len(one.table.failed), 'run')} failed: [leaderboard.md](leaderboard.md) says why.")
    return lines


def _sentence(answer: Answer, best: Answer, below: Collection[str]) -> str:
    heading, winner = answer.question.heading, answer.winner
    if winner is None:
        return f"**{heading}**: {answer.nearest}."
    detail = answer.question.detail(winner)
    if answer is not best and winner is best.winner:
        return f"**{heading}**: `{winner.name}` again{f' ({detail})' if detail else ''}."
    told = notes(winner.frame, below)
    said = [f"`{winner.name}`, {winner.metric.name} {value_in_words(winner)}", detail, f"notes: {told}" if told else ""]
    parts = [f"**{heading}**: {'; '.join(filter(None, said))}."]
    if answer.to_best is not None and best.winner is not None:
        parts.append(f"`{best.winner.name}`, the best of all, is {_apart(answer.to_best)}.")
    if not answer.rivals:
        parts.append("It is the only row that fulfils it." if answer is not best else "It is the only row.")
    near = [f"`{rival.row.name}` by {amount_in_words(rival)}" for rival in answer.beaten[:_SHOWN]]
    more = len(answer.beaten) - len(near)
    if near:
        parts.append(
            "; ".join([f"Better than {near[0]}", *near[1:], *([f"{many(more, 'row')} more"] if more else [])]) + "."
        )
    if answer.untested:
        untested = ", ".join(f"`{rival.row.name}`" for rival in answer.untested)
        parts.append(f"Not tested, for want of values for every query: {untested}.")
    return " ".join(parts)


def _training(training: Training | None) -> str:
    heading = "**Did training beat frozen features?**"
    if training is None:
        return f"{heading} This table has no trained row, or none that trains nothing."
    trained, rival = training.trained, training.rival
    frozen = f"`{rival.row.name}`, {rival.row.metric.name} {value_in_words(rival.row)}"
    if rival.row.baseline is not Baseline.FROZEN:
        frozen += " (no frozen features here: the best row that trains nothing)"
    seconds = trained.mean("fit_seconds")
    cost = f", for {seconds:,.0f} s of training" if seconds is not None else ""
    first, second = (f"`{trained.name}`", frozen) if rival.behind >= 0 else (f"{frozen},", f"`{trained.name}`")
    if rival.found is None:
        told = f"{first} is {_lead(rival)} {second}, untested, for values are missing"
        return f"{heading} {told}{cost}."
    answer = {"better": "Yes", "worse": "No", "cannot be told": "Cannot be told"}[training.verdict]
    told = f"{heading} {answer}: {first} is {_lead(rival)} {second}, by {amount_in_words(rival)}{cost}."
    if training.otherwise:
        others = [_elsewhere(metric, one) for metric, one in training.otherwise]
        told += f" **But {trained.metric.name} and what a user sees disagree**: {'; '.join(others)}."
    return told


def _lead(rival: Rival) -> str:
    """Return how the one of two rows with the better score stands to the other."""
    return "better than" if rival.separable else "ahead of" if rival.behind else "level with"


def _elsewhere(metric: Metric, rival: Rival) -> str:
    """Return the same comparison by another metric."""
    said = verdict_of(rival)
    words = "no difference can be told" if said == "cannot be told" else f"training is {said}"
    return f"in {metric.name} {words}, {amount_in_words(rival)}"


def _untold(one: TableAnswers) -> list[str]:
    """Return a line for each winner with rows that cannot be told from it, each winner and rival once."""
    lines, told = [], set()
    for answer in one.answers:
        new = [rival for rival in answer.tied if (answer.winner, rival.row) not in told]
        told |= {(answer.winner, rival.row) for rival in new}
        if new and answer.winner is not None:
            pairs = "; ".join(
                f"`{rival.row.name}` ({'behind' if rival.behind >= 0 else 'ahead'} by {amount_in_words(rival)}), "
                f"{rival.found.detectable:.3f} would be seen"
                for rival in new
                if rival.found is not None
            )
            lines.append(f"**No difference can be told** between `{answer.winner.name}` and: {pairs}.")
    return lines or ["**No difference can be told**: of no pair that these questions compare."]


def _overall(found: Sequence[TableAnswers], overall: Overall) -> list[str]:
    if not overall.comparable:
        lines = ["No overall winner: it needs two data sets with two methods in each, at one budget a table."]
    else:
        first = overall.ranked[0]
        safest = max(overall.ranked, key=lambda one: (one.aggregate, one.method))
        ranks = [one.rank for one in overall.ranked]
        gap = overall.critical or 0.0
        alike = [f"`{one.method}`" for one in overall.ranked[1:] if one.rank - ranks[0] < gap]
        verdict = f"not told apart from {', '.join(alike)}" if alike else "told apart from all others"
        verdict = "told apart from none" if len(alike) == len(ranks) - 1 else verdict
        test = "" if overall.friedman is None else f" Friedman {p_value(overall.friedman[1])}."
        lines = [
            f"- **Best mean rank** over {len(overall.datasets)} data sets ({', '.join(overall.datasets)}) and "
            f"{len(overall.ranked)} methods: `{first.method}`, {first.rank:.2f}.{test} Critical difference "
            f"{gap:.2f} at {100 * ALPHA:g} %: {verdict}.",
            f"- **Safest**: `{safest.method}`, harmonic mean {safest.aggregate:.3f} of {overall.metric} between "
            f"chance and perfect, at worst {safest.worst:.3f} ({safest.worst_on}).",
        ]
        few = caution(overall)
        lines += [f"- {few}."] if few else []
    compared = [one.training for one in found if one.training is not None and one.training.rival.found is not None]
    if compared:
        better = sum(one.rival.separable and one.rival.behind > 0 for one in compared)
        worse = sum(one.rival.separable and one.rival.behind < 0 for one in compared)
        lines += [
            *([""] if not overall.comparable else []),
            f"- **Training against frozen features**: better in {better} of {len(compared)} tables, worse in {worse}, "
            f"cannot be told in {len(compared) - better - worse}.",
        ]
    return lines


def _new_classes(found: Sequence[TableAnswers]) -> list[str]:
    """Return who wins on classes that were not trained on."""
    tables = [one for one in found if one.table.rows and one.table.seen_classes is False]
    name = unseen.__name__
    if not tables:
        return [
            f"None of these runs was made by protocol `{name}`, which asks for classes that were not trained on: "
            f"`simbench run -m '*' -d NAME --protocol {name}`."
        ]
    return [f"- {one.table.title}: {_sentence(one.answers[0], one.answers[0], one.table.every_row)}" for one in tables]


def value_in_words(row: Row) -> str:
    """Return a row's score with its interval and how many seeds it is a mean of."""
    ends, digits = row.interval(row.metric.name), row.metric.digits
    words = [f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"] if ends else []
    words.append(counted(row.frame) if draws_of(row.frame) > 1 else many(len(row.records), "seed"))
    return f"{number_in_words(row)} ({', '.join(words)})"


def number_in_words(row: Row) -> str:
    """Return a row's score."""
    return f"{row.score:.{row.metric.digits}f}"


def _apart(rival: Rival) -> str:
    """Return how far the winner is ahead of a rival, as one says it."""
    return f"{'better' if rival.separable else 'ahead'} by {amount_in_words(rival)}"


def amount_in_words(rival: Rival) -> str:
    """Return how far two rows are apart, never below 0, with the interval of that and its p."""
    if rival.found is None:
        return f"{abs(rival.behind):.3f} (untested)"
    found, ahead = rival.found, rival.behind >= 0
    low, high = (found.low, found.high) if ahead else (-found.high, -found.low)
    told = (f"{round(number, 3) + 0.0:.3f}" for number in (abs(found.difference), low, high))  # never -0.000
    return "{} ({} to {}, {})".format(*told, p_value(found.p_corrected))


_LEGEND = """Each answer is the row with the best {metric} that fulfils the constraint. In brackets: the 95 % interval
over images (over classes, where they are new) and seeds, and p of that difference, corrected for the winner being
chosen afterwards; where an interval begins below 0, it may as well be the other way round. *Would be seen*: the
smallest true difference that these images show with 80 % power. One seed speaks of that one model, not of another
training. *Without labels*: none of these images' labels was used; a pretrained network has seen others. More:
[leaderboards](../../docs/guides/leaderboards.md), [statistics](../../docs/design/statistics.md)."""
