// The leaderboard of the gallery's data set and protocol, as `simbench leaderboard` left it beside the runs.

import { get, Trouble } from "./asking.js";
import { make, number } from "./elements.js";

let turn = 0;

export async function showBoard(gallery) {
  const mine = ++turn;
  const place = document.getElementById("ranked");
  let board;
  try {
    ({ board } = await get(`api/leaderboard/${gallery.number}`));
    if (mine !== turn) return; // another gallery is shown by now
  } catch (error) {
    if (mine !== turn) return;
    place.replaceChildren(make("p", { class: "warn" }, error instanceof Trouble ? error.message : "The leaderboard cannot be shown."));
    return;
  }
  if (!board || !board.rows.length) {
    place.replaceChildren(make("p", { class: "lead" }, "There is no leaderboard of this data set and protocol beside the runs. Make one with: simbench leaderboard"));
    return;
  }
  const served = new Set(gallery.runs.map((run) => `${run.method} ${run.key}`));
  const heads = [make("th", { scope: "col" }, "#"), make("th", { scope: "col", class: "name" }, "method"),
    ...board.columns.map((column) => make("th", { scope: "col" }, column.heading,
      make("span", { "aria-hidden": "true" }, column.better === "up" ? " ↑" : " ↓"),
      make("span", { class: "hidden" }, column.better === "up" ? ", more is better" : ", less is better"))),
    make("th", { scope: "col" }, "seeds")];
  const rows = board.rows.map((row) => make("tr", { class: row.rank === 1 ? "tied" : null },
    make("td", {}, row.rank ? String(row.rank) : "–"),
    make("th", { scope: "row", class: "name" }, row.name, served.has(`${row.method} ${row.key}`) ? null : make("span", { class: "muted" }, " (not served)")),
    ...row.values.map((value, at) => make("td", {}, value === null ? "–" : number(value, board.columns[at].digits))),
    make("td", {}, String(row.seeds))));
  place.replaceChildren(
    make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": `Leaderboard of ${gallery.title}, scrolls sideways` },
      make("table", { class: "board" }, make("caption", {}, gallery.title), make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows))),
    make("p", { class: "note" }, "Means over seeds. Rows of rank 1 cannot be told apart from the best. Intervals, plots, checks and where each number came from: ",
      make("a", { href: "report" }, "the report"), "."));
}
