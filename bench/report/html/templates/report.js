"use strict";
(() => {
  const all = (query, root = document) => [...root.querySelectorAll(query)];

  // Sorting: by number where every cell has one; cells without a value stay last either way.
  const sort = (table, column, down) => {
    const body = table.tBodies[0];
    const key = (row) => row.cells[column].dataset.sort;
    const rows = [...body.rows];
    const numeric = rows.every((row) => key(row) === "" || !Number.isNaN(Number(key(row))));
    rows.sort((a, b) => {
      if (key(a) === "" || key(b) === "") return (key(a) === "") - (key(b) === "");
      const order = numeric ? Number(key(a)) - Number(key(b)) : key(a).localeCompare(key(b));
      return down ? -order : order;
    });
    body.append(...rows);
  };
  for (const table of all("table.board")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const press = head.querySelector("button");
      press?.addEventListener("click", () => {
        const was = head.getAttribute("aria-sort");
        const down = was ? was === "ascending" : press.dataset.first === "down";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(table, column, down);
      });
    });
  }

  // Filtering: words of the method's name or its notes; rank 1 alone.
  const filter = (id) => {
    const words = document.querySelector(`[data-filter="${id}"]`).value.toLowerCase().split(/\s+/).filter(Boolean);
    const tied = document.querySelector(`[data-tied="${id}"]`).checked;
    const rows = [...document.getElementById(id).tBodies[0].rows];
    for (const row of rows) {
      const text = `${row.querySelector(".name").textContent} ${row.querySelector("td.notes").textContent}`.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word)) || (tied && !row.classList.contains("tied"));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    document.querySelector(`[data-count="${id}"]`).textContent = `${shown === rows.length ? "" : `${shown} of `}${rows.length} row${rows.length === 1 ? "" : "s"}`;
  };
  for (const field of all("[data-filter]")) field.addEventListener("input", () => filter(field.dataset.filter));
  for (const box of all("[data-tied]")) box.addEventListener("change", () => filter(box.dataset.tied));

  // Folded parts are packed: put them in their places.
  const unpack = async () => {
    const packed = Uint8Array.from(atob(document.getElementById("folded").textContent), (one) => one.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const parts = await new Response(stream).json();
    for (const place of all("[data-folded]")) place.outerHTML = parts[Number(place.dataset.folded)];
  };

  // A link into something folded unfolds it.
  const unfold = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);

  // Printing shows everything; afterwards all is folded as before.
  let folded = [];
  addEventListener("beforeprint", () => { folded = all("details:not([open])"); for (const one of folded) one.open = true; });
  addEventListener("afterprint", () => { for (const one of folded) one.open = false; });

  // Embedding maps: the nearest point's picture, by pointer or arrow keys.
  const tip = document.getElementById("tip");
  const watch = (detail) => {
    const svg = detail.querySelector('figure[id$="-map"] svg');
    const points = svg ? all('[id$="-points"] use', svg) : [];
    const facts = JSON.parse(document.getElementById(detail.dataset.mapped).textContent);
    if (!points.length || points.length !== facts.length) return;
    svg.dataset.map = "";
    svg.tabIndex = 0;
    let at = -1;
    const leave = () => { tip.hidden = true; points[at]?.classList.remove("picked"); };
    const show = (next) => {
      points[at]?.classList.remove("picked");
      at = next;
      points[at].classList.add("picked");
      const [x, y, label, id] = facts[at];
      tip.replaceChildren();
      if (x >= 0) {
        const picture = document.createElement("span");
        picture.className = `t ${detail.dataset.sheet}`;
        picture.style.cssText = `--x:${x};--y:${y}`;
        tip.append(picture);
      }
      tip.append(`${label}, ${id}`);
      tip.hidden = false;
      const box = points[at].getBoundingClientRect();
      const left = Math.min(box.right + 12, innerWidth - tip.offsetWidth - 8);
      tip.style.left = `${Math.max(8, left)}px`;
      tip.style.top = `${Math.max(8, Math.min(box.top - 20, innerHeight - tip.offsetHeight - 8))}px`;
    };
    svg.addEventListener("pointermove", (event) => {
      let best = 30 ** 2;
      let found = -1;
      points.forEach((point, index) => {
        const box = point.getBoundingClientRect();
        const away = (box.left + box.width / 2 - event.clientX) ** 2 + (box.top + box.height / 2 - event.clientY) ** 2;
        if (away < best) { best = away; found = index; }
      });
      if (found < 0) leave(); else show(found);
    });
    svg.addEventListener("pointerleave", leave);
    svg.addEventListener("blur", leave);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") leave();
      if (!step) return;
      event.preventDefault();
      show((at + step + points.length) % points.length);
    });
  };

  unpack().then(() => {
    if (location.pathname.endsWith("/report")) { // the search page serves no run folders
      all(".run h4 a").forEach((link) => {
        const name = document.createElement("code");
        name.textContent = link.textContent;
        link.replaceWith(name);
      });
    }
    all("details.method").forEach(watch);
    unfold();
    document.documentElement.dataset.ready = "";
  });
})();
