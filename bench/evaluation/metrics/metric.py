"""What is declared of a metric, and the decorator that declares it where it is computed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from bench.contract import UsageError
from bench.evaluation.ranking.arrays import Floats

Better = Literal["higher", "lower"]
Shown = Literal["always", "table", "asked"]
F = TypeVar("F", bound=Callable[..., Floats])

TIES = ("pessimistic", "mean", "optimistic")
RANKING: dict[str, Metric] = {}


@dataclass(frozen=True)
class Metric:
    """A number's name in files, its direction, definition, chance level and ties, and how tables show it.

    Args:
        name: In run.json, per_query.npz and every table; ``map@k`` stands for one metric at each depth k.
        better: "higher", "lower", or None for a number that is no contest.
        definition: In one line; k in it is the depth.
        title: Of its column, without the unit; the name where it is empty.
        unit: Behind the title.
        digits: After the point.
        aliases: Shorter names on the command line.
        shown: In which tables: "always"; "table", all but the narrow ones (LaTeX, the server's page); or "asked".
        interval: Whether tables show it with its 95 % interval.
        per_query: Whether a run keeps a value for every query, so that rows can be ranked by it.
        chance: Its value by chance, where that is one number; else see ``chance.chance_level``.
        ties: The rules for ties that it has a value under.
        formula: From an order of the gallery (see ``ranking.Order``; and from k, where the name ends in it) to float64
            ``(q,)``; None where it does not follow from the ranks of the relevant items.
        extra: Whether it is worked out only where it is asked for, by name or by the data set.
        graded: Whether the items' gains count in it; in all others, an item is relevant or not.
        depth: The k that tables show unless other depths were asked for; of one metric at a depth: that depth.
    """

    name: str
    better: Better | None
    definition: str
    title: str = ""
    unit: str = ""
    digits: int = 3
    aliases: tuple[str, ...] = ()
    shown: Shown = "table"
    interval: bool = False
    per_query: bool = False
    chance: float | None = None
    ties: tuple[str, ...] = ()
    formula: Callable[..., Floats] | None = None
    depth: int | None = None
    extra: bool = False
    graded: bool = False

    @property
    def arrow(self) -> str:
        """The sign for a table's header: an arrow up, an arrow down, or nothing."""
        return {"higher": "↑", "lower": "↓", None: ""}[self.better]

    @property
    def sign(self) -> int:
        """1, or -1 where less is better: a value times it is the larger the better."""
        return -1 if self.better == "lower" else 1

    @property
    def heading(self) -> str:
        """What stands over its column."""
        return f"{self.title or self.name} {self.unit}".strip()

    @property
    def general(self) -> bool:
        """Whether it stands for one metric at each depth."""
        return self.name.endswith("@k")

    def at(self, k: int) -> Metric:
        """Return a general metric at one depth."""
        definition = re.sub(r"\bk\b", str(k), self.definition)
        return replace(self, name=f"{self.name.removesuffix('k')}{k}", definition=definition, depth=k)

    def of(self, ranks: Any) -> Floats:
        """Return its value for every query of an order of the gallery, float64 ``(q,)``."""
        if self.formula is None or self.general:
            raise UsageError(f"{self.name} does not follow from ranks alone")
        return self.formula(ranks) if self.depth is None else self.formula(ranks, self.depth)


def ranking_metric(name: str, better: Better, definition: str, **shown: Any) -> Callable[[F], F]:
    """Declare the decorated function as a ranking metric: every table, page and command knows it from then on.

    The function takes an ``Order`` (and k, where the name ends in ``@k``) and returns float64 ``(q,)``, NaN for R = 0.
    Ties are settled in the order that it is given: so it has a pessimistic, a mean and an optimistic value, and the
    chance level is its value of an order in which all is tied. shown: other fields of ``Metric``.
    """

    def declare(formula: F) -> F:
        if name in RANKING:
            raise UsageError(f"the metric {name} is declared twice")
        RANKING[name] = Metric(name, better, definition, per_query=True, ties=TIES, formula=formula, **shown)
        return formula

    return declare
