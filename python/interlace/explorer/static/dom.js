// Elements and text. Invariant: chain data enters the page only as text nodes, never as markup, so nothing written on
// the chain can become part of this program. What it does not do: it knows neither the chain nor the pages.

/** Build an element; children are nodes, or anything else as text. */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) node.setAttribute(key, value);
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

/** A table from column titles (a trailing '#' right-aligns the column) and rows of cells. */
export function table(titles, rows) {
  const right = titles.map((title) => (title.endsWith("#") ? "number" : null));
  const head = titles.map((title, i) => el("th", { class: right[i] }, title.replace(/#$/, "")));
  const body = rows.map((cells) => el("tr", {}, cells.map((cell, i) => el("td", { class: right[i] }, cell))));
  return el("div", { class: "card" }, el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, body)));
}

/** A list of facts: [name, value] pairs; a missing value leaves the line out. */
export function facts(pairs) {
  const lines = pairs.filter(([, value]) => value !== undefined && value !== null);
  return el("div", { class: "card" }, el("dl", {}, lines.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
}

export function tiles(pairs) {
  return el("div", { class: "tiles" }, pairs.map(([name, value]) => el("div", { class: "tile" }, el("b", {}, value), el("span", {}, name))));
}

export function mono(text) {
  return el("span", { class: "mono" }, text);
}

export function pill(text, kind = "") {
  return el("span", { class: `pill ${kind}`.trim() }, text);
}

export function heading(title, note) {
  return [el("h1", {}, title), note ? el("p", { class: "note" }, note) : null];
}

/** A link whose target is built here from checked parts; `short` shows head and tail of a long hash. */
export function link(kind, value, text) {
  return el("a", { href: `#/${kind}/${encodeURIComponent(value)}`, class: "mono", title: value }, text ?? shorten(value));
}

export function shorten(hex) {
  return hex && hex.length > 20 ? `${hex.slice(0, 10)}…${hex.slice(-6)}` : hex;
}
