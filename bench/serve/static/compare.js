// Two pictures: how alike each method finds them, and the way from one embedding to the other.

import { asField, fromFile, post, Trouble } from "./asking.js";
import { complain, make, number, ownPicture, picture, sharpness, tell } from "./elements.js";

const STEPS = 25;
const byId = (id) => document.getElementById(id);
const SOURCES = {
  method: ["by the method", "The method's own probability that both show one class"],
  validation: ["by validation pairs", "From the run's validation pairs, were pairs of one and of two classes equally frequent"],
};

/** The compare part of the page. choice(): {gallery, runs}; most: bytes of a file. */
export class Comparison {
  constructor(choice, most) {
    this.choice = choice;
    this.most = most;
    this.sides = { first: null, last: null };
    this.walks = [];
    this.turn = 0;
    byId("share").addEventListener("input", () => this.step());
    for (const place of ["first", "last"]) {
      const slot = byId(`slot-${place}`);
      slot.addEventListener("dragover", (event) => { event.preventDefault(); event.stopPropagation(); slot.classList.add("over"); });
      slot.addEventListener("dragleave", () => slot.classList.remove("over"));
      slot.addEventListener("drop", (event) => {
        event.preventDefault();
        event.stopPropagation();
        slot.classList.remove("over");
        if (event.dataTransfer.files.length) this.take(place, event.dataTransfer.files[0]);
      });
      this.draw(place);
    }
  }

  /** Take a file for one of both places. */
  take(place, file) {
    try {
      this.set(place, fromFile(file, this.most));
    } catch (error) {
      complain(error.message);
    }
  }

  set(place, side) {
    this.sides[place] = side;
    this.draw(place);
    this.ask();
  }

  /** Forget items of a gallery that is no longer shown; files stay. */
  changed() {
    for (const place of ["first", "last"]) {
      if (this.sides[place]?.row !== undefined) this.sides[place] = null;
      this.draw(place);
    }
    this.ask();
  }

  draw(place) {
    const side = this.sides[place];
    const gallery = this.choice().gallery;
    const looks = side === null ? make("span", { class: "empty" }, "nothing yet")
      : side.file ? ownPicture(side, side.name || "a picture of yours")
        : picture(gallery, side, { alt: `image ${side.row} of the gallery`, class: `asked ${sharpness(gallery)}` });
    const input = make("input", { type: "file", accept: "image/*", id: `file-${place}`, onchange: (event) => {
      if (event.target.files.length) this.take(place, event.target.files[0]);
    } });
    byId(`slot-${place}`).replaceChildren(make("h3", {}, place === "first" ? "First" : "Last"), looks,
      make("label", { class: "choose small" }, "choose a file", input));
  }

  async ask() {
    const turn = ++this.turn;
    byId("compared").replaceChildren();
    byId("walk").hidden = true;
    const { first, last } = this.sides;
    if (first === null || last === null) return;
    complain();
    const { gallery, runs } = this.choice();
    if (!runs.length) { complain("Choose a method or more."); return; }
    const fields = { gallery: gallery.number, runs: runs.join(","), first: asField(first), last: asField(last) };
    try {
      const rows = [];
      await post("api/compare", fields, (line) => rows.push(line));
      if (turn !== this.turn) return;
      this.table(rows, gallery);
      const walks = [];
      if (runs.some((run) => gallery.runs[run].decodes)) {
        await post("api/walk", { ...fields, steps: STEPS }, (line) => walks.push(line));
      }
      if (turn === this.turn) this.walk(walks, gallery);
      tell("Both pictures are compared.");
    } catch (error) {
      if (turn === this.turn) complain(error instanceof Trouble ? error.message : `Something went wrong on this page: ${error.message}`);
    }
  }

  table(rows, gallery) {
    const body = rows.map((row) => {
      const name = make("th", { scope: "row" }, gallery.runs[row.run].name);
      if (row.error) return make("tr", {}, name, make("td", { colspan: 3, class: "words" }, row.error));
      const [source, title] = SOURCES[row.source] ?? ["", ""];
      return make("tr", {}, name, make("td", {}, number(row.cosine, 3)),
        make("td", {}, row.probability === null ? "–" : number(row.probability, 3)), make("td", { class: "words", title }, source));
    });
    const heads = ["method", "cosine", "probability of one class", "as told"].map((text) => make("th", { scope: "col" }, text));
    byId("compared").replaceChildren(make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Both pictures to each method, scrolls sideways" },
      make("table", { class: "plain" }, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...body))));
  }

  walk(walks, gallery) {
    this.walks = [];
    const items = walks.map((line) => {
      const name = gallery.runs[line.run].name;
      if (line.error) return make("li", {}, make("p", { class: "warn" }, `${name}: ${line.error}`));
      const image = make("img", { alt: `What ${name} decodes there`, class: `asked ${sharpness(gallery)}` });
      this.walks.push({ image, pictures: line.pictures });
      return make("li", {}, make("figure", {}, image, make("figcaption", {}, name)));
    });
    byId("walked").replaceChildren(...items);
    byId("walk").hidden = items.length === 0;
    this.step();
  }

  step() {
    const share = byId("share");
    const said = `${Math.round((100 * share.value) / share.max)} %`;
    byId("share-said").textContent = said;
    share.setAttribute("aria-valuetext", `${said} of the way`);
    for (const { image, pictures } of this.walks) image.src = pictures[share.value];
  }
}
