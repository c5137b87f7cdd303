// The page's state: which gallery, which methods, which query; and every way to give it a picture.

import { fromFile, fromItem, get } from "./asking.js";
import { showBoard } from "./board.js";
import { Comparison } from "./compare.js";
import { complain, make, picture } from "./elements.js";
import { clear, search } from "./search.js";

const EXAMPLES = 12;
const byId = (id) => document.getElementById(id);
let galleries = [];
let most = 0; // bytes of a picture
let query = null; // what is searched for: a file, or an item of the gallery
let upload = null; // the last file that was searched for
let comparison = null;

const gallery = () => galleries[byId("gallery").value];
const boxes = () => [...document.querySelectorAll("#runs input")];

function choice() {
  return {
    gallery: gallery(),
    label: byId("label").value,
    k: byId("k").value,
    threshold: byId("threshold").value,
    runs: boxes().filter((box) => box.checked).map((box) => Number(box.value)),
  };
}

function ask() {
  if (query === null) return;
  if (!byId("k").checkValidity()) { complain("Results: a whole number from 1 to 50."); return; }
  if (!byId("threshold").checkValidity()) { complain("At least: a similarity from -1 to 1, such as 0.8."); return; }
  if (!choice().runs.length) { complain("Choose a method or more."); return; }
  search(query, choice(), { search: searchItem, compare, renewed });
}

function searchItem(row, version) {
  query = fromItem(row, version);
  history.pushState(null, "", `?gallery=${gallery().number}&item=${row}&v=${version}`);
  ask();
  byId("found").scrollIntoView({ block: "start" });
}

function searchFile(file) {
  try {
    query = fromFile(file, most);
  } catch (error) {
    complain(error.message);
    return;
  }
  upload = query;
  if (location.search) history.pushState({ upload: true }, "", location.pathname);
  else history.replaceState({ upload: true }, "");
  ask();
}

function compare(place, side) {
  comparison.set(place, side);
  byId("compare").scrollIntoView({ block: "start" });
}

/** Take note that a folder has changed: from now on, rows are numbers in its new version. */
function renewed(here, { version, size, classes }) {
  const others = classes.join("\n") !== here.classes.join("\n");
  Object.assign(here, { version, size, classes });
  about();
  examples();
  if (others) { labels(); ask(); } // classes are numbers, too
}

function labels() {
  byId("label").replaceChildren(make("option", { value: "" }, "any class"),
    ...gallery().classes.map((name, at) => make("option", { value: at }, name)));
}

function about() {
  const here = gallery();
  byId("about").textContent = `${here.size.toLocaleString("en")} images of ${here.title}. ` +
    `Each method compares your picture with all of them.${here.missing ? ` No pictures: ${here.missing}.` : ""}`;
}

/** Show another gallery: its classes, methods, examples and leaderboard. */
function enter() {
  const here = gallery();
  about();
  labels();
  byId("runs").replaceChildren(...here.runs.map((run, at) =>
    make("label", {}, make("input", { type: "checkbox", value: at, checked: true }), ` ${run.name}`)));
  count();
  examples();
  comparison?.changed();
  showBoard(here);
}

function count() {
  byId("chosen").textContent = `${boxes().filter((box) => box.checked).length} of ${boxes().length}`;
}

function examples() {
  const here = gallery();
  byId("examples-box").hidden = !here.pictures;
  if (!here.pictures) return;
  const { version } = here;
  const rows = Array.from({ length: Math.min(EXAMPLES, here.size) }, () => Math.floor(Math.random() * here.size));
  byId("examples").replaceChildren(...[...new Set(rows)].map((row) => make("li", {},
    make("button", { type: "button", class: "hit", "aria-label": `Search from image ${row} of the gallery`, onclick: () => searchItem(row, version) },
      picture(here, { row, version })))));
}

/** Search for what the address names, as when the reader goes back. */
function followAddress() {
  const asked = new URLSearchParams(location.search);
  const row = Number(asked.get("item") ?? "none");
  const number = Number(asked.get("gallery") ?? 0);
  if (!Number.isInteger(row) || !galleries[number] || row < 0) return false;
  const version = asked.get("v") ?? galleries[number].version;
  if (version === galleries[number].version && row >= galleries[number].size) return false;
  if (query?.row === row && query.version === version && gallery().number === number) return true; // a link within the page
  if (gallery().number !== number) { byId("gallery").value = number; enter(); }
  query = fromItem(row, version);
  ask();
  return true;
}

function listen() {
  byId("gallery").addEventListener("change", () => {
    if (query?.row !== undefined) { query = null; clear(); }
    if (location.search) history.replaceState(null, "", location.pathname); // it names an item of the other gallery
    enter();
    ask();
  });
  byId("label").addEventListener("change", ask);
  byId("k").addEventListener("change", ask);
  byId("threshold").addEventListener("change", ask);
  byId("runs").addEventListener("change", () => { count(); ask(); });
  byId("tools").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  byId("others").addEventListener("click", examples);
  byId("file").addEventListener("change", (event) => {
    if (event.target.files.length) searchFile(event.target.files[0]);
    event.target.value = ""; // so that the same file can be chosen again
  });
  addEventListener("popstate", (event) => {
    if (followAddress()) return;
    if (event.state?.upload && upload) { query = upload; ask(); } // back from a result to the picture it was found for
    else if (query?.row !== undefined) { query = null; clear(); }
  });
  addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) searchFile(event.clipboardData.files[0]);
    else complain("There is no picture in what was pasted.");
  });
  const drop = byId("drop");
  addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) searchFile(event.dataTransfer.files[0]);
    else complain("What was dropped is no file; save the picture first.");
  });
}

async function start() {
  try {
    const told = await get("api/galleries");
    galleries = told.galleries.map((one, at) => ({ ...one, number: at }));
    most = told.picture_bytes;
  } catch (error) {
    byId("about").textContent = "The galleries could not be loaded.";
    complain(error.message);
    return;
  }
  byId("gallery").replaceChildren(...galleries.map((one) => make("option", { value: one.number }, one.title)));
  comparison = new Comparison(choice, most);
  enter();
  listen();
  followAddress();
}

start();
