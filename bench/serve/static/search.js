// One query, every method's answer: rows appear at once and fill as the methods answer.

import { asField, post, Trouble } from "./asking.js";
import { complain, make, milliseconds, nameOf, number, ownPicture, picture, sharpness, tell } from "./elements.js";

const byId = (id) => document.getElementById(id);
let under = null; // the search that is under way

/** Ask all chosen methods. choice: {gallery, runs, k, label, threshold}; act: {search(row, version), compare(place, side), renewed(gallery, query)}. */
export async function search(side, choice, act) {
  under?.abort();
  const mine = new AbortController();
  under = mine;
  complain();
  const start = performance.now();
  const { gallery } = choice;
  const fields = { gallery: gallery.number, k: choice.k, label: choice.label, threshold: choice.threshold, runs: choice.runs.join(","), picture: asField(side) };
  const places = new Map();
  let query = null;
  let first = null;
  try {
    await post("api/search", fields, (line) => {
      if (mine !== under) return;
      if (line.query) {
        query = line.query;
        if (query.version !== gallery.version) act.renewed(gallery, query);
        show(side, query, choice, places, act);
        return;
      }
      first ??= performance.now() - start;
      if (line.hits) line.hits = line.hits.map((item) => ({ ...item, version: query.version }));
      places.get(line.run).replaceWith(answer(line, query, choice, act));
    }, mine.signal);
    tell(`${places.size} methods have answered. The first answer took ${milliseconds(first ?? 0)}.`);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (mine === under) byId("found").hidden = true;
    complain(error instanceof Trouble ? error.message : `Something went wrong on this page: ${error.message}`);
  }
}

/** Forget what was found. */
export function clear() {
  under?.abort();
  under = null;
  byId("found").hidden = true;
}

function show(side, query, choice, places, act) {
  const { gallery } = choice;
  const label = query.row === null ? null : nameOf(gallery, query);
  const looks = side.file ? ownPicture(side, "The query")
    : picture(gallery, query, { alt: "The query", class: `asked ${sharpness(gallery)}` });
  const seen = side.file ? make("figure", {}, make("img", { src: query.seen, alt: "", class: `asked ${sharpness(gallery)}` }),
    make("figcaption", {}, `what the methods see, ${gallery.shape[0]} × ${gallery.shape[1]}`)) : null;
  const compare = ["first", "last"].map((place) =>
    make("button", { type: "button", class: "small", onclick: () => act.compare(place, side) }, `compare: as ${place}`));
  byId("query").replaceChildren(
    make("figure", {}, looks, make("figcaption", {}, label ?? side.name ?? "your picture")), ...(seen ? [seen] : []),
    make("div", { class: "facts" }, make("p", {}, query.id ? (label === query.id ? label : `${query.id}, ${label}`) : side.name || "A picture of yours"), ...compare));
  byId("legend").hidden = query.label === null;
  places.clear();
  for (const run of choice.runs) places.set(run, frame(gallery.runs[run], make("p", { class: "muted" }, "…"), [], true));
  byId("answers").replaceChildren(...places.values());
  byId("found").hidden = false;
}

function frame(run, times, children, busy = false) {
  const score = run.map === null ? null : make("span", { class: "muted" }, `map ${number(run.map, 3)}`);
  return make("article", { class: "answer", "aria-busy": String(busy), "aria-label": run.name },
    make("div", { class: "who" }, make("h3", {}, run.name), score, times), ...children);
}

function answer(line, query, choice, act) {
  const { gallery } = choice;
  const run = gallery.runs[line.run];
  if (line.error) return frame(run, null, [make("p", { class: "warn" }, line.error)]);
  const others = line.together > 1 ? ` with ${line.together - 1} others` : ""; // of other readers, at the same time
  const embedded = line.embed_ms === null ? "vector known" : `embedded in ${milliseconds(line.embed_ms)}${others}`;
  const times = make("span", { class: "muted times" }, `${embedded}, searched in ${milliseconds(line.search_ms)}`);
  const decoded = line.decoded ? [make("figure", { class: "decoded" },
    make("img", { src: line.decoded, alt: `What ${run.name} decodes the query's vector to`, class: sharpness(gallery) }),
    make("figcaption", {}, `decoded, cosine ${number(line.decoded_cosine, 3)}`))] : [];
  const hits = line.hits.map((item, at) => hit(item, at + 1, query, gallery, act));
  const none = line.nearest ? `Nothing similar: the nearest is ${nameOf(gallery, line.nearest)} at ${number(line.nearest.similarity, 3)}.`
    : "No image of this class.";
  const list = hits.length ? make("ol", {}, ...hits) : make("p", { class: "muted" }, none);
  return frame(run, times, [...decoded, list]);
}

function hit(item, rank, query, gallery, act) {
  const label = nameOf(gallery, item);
  const right = query.label === null ? null : item.label === query.label;
  const kind = right === null ? "" : right ? "ok" : "no";
  const said = right === null ? "" : right ? ", same class" : ", another class";
  const similarity = number(item.similarity, 3);
  return make("li", { class: kind },
    make("button", { type: "button", class: "hit", title: item.id, onclick: () => act.search(item.row, item.version) },
      picture(gallery, item), make("span", { class: "similarity" }, similarity), " ", make("span", { class: "label" }, label),
      make("span", { class: "hidden" }, `${said}, number ${rank}: search from it`)));
}
