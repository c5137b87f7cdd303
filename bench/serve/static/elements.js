// Making elements; text is always text, never markup, whatever a class or a file is called.

/** Make an element: properties (class, data-*, aria-*, on* handlers), then children: elements or texts. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Make a picture of a gallery image, or its id where the gallery is served without pictures. */
export function picture(gallery, item, properties = {}) {
  if (!gallery.pictures) return make("span", { class: "word" }, item.id ?? `image ${item.row}`);
  const source = `pictures/${gallery.number}/${item.row}?v=${item.version ?? gallery.version}`;
  return make("img", { src: source, alt: "", class: sharpness(gallery), ...properties });
}

/** What a picture is called below it: its class, or the name of its file in a reader's own folder. */
export function nameOf(gallery, item) {
  return gallery.own || item.label === null ? item.id : gallery.classes[item.label];
}

/** Small pictures are shown with their pixels, not blurred. */
export function sharpness(gallery) {
  return Math.max(gallery.shape[0], gallery.shape[1]) < 96 ? "pixelated" : "";
}

/** Make a picture of a reader's own file. */
export function ownPicture(side, alt) {
  const pixels = ({ target }) => target.classList.toggle("pixelated", Math.max(target.naturalWidth, target.naturalHeight) < 96);
  return make("img", { src: side.address, alt, class: "asked", onload: pixels });
}

export function number(value, digits) {
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function milliseconds(value) {
  return `${number(value, value < 10 ? 1 : 0)} ms`;
}

/** Show what went wrong, or nothing any more. */
export function complain(message = "") {
  const place = document.getElementById("trouble");
  place.replaceChildren(...(message ? [make("p", { class: "warn" }, message)] : []));
}

/** Tell those who listen to the page. */
export function tell(message) {
  document.getElementById("status").textContent = message;
}
