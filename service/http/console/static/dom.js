// Elements from values. Text is always a text node, never markup, so that an order's id can hold anything.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== undefined && child !== null && child !== false) element.append(child);
  }
  return element;
}

export const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);
export const s = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);
export const replace = (element, ...children) => element.replaceChildren(...children.flat(Infinity).filter(Boolean));

/** Says something to who cannot see it happen. */
export function say(text) {
  document.getElementById("spoken").textContent = text;
}

/** A table in a region that scrolls by itself. Columns: [title, cell of a row, {number, head}]. */
export function table(caption, columns, rows, properties = {}) {
  const cells = (row) => columns.map(([title, cell, how = {}], index) =>
    h(index === 0 && how.head !== false ? "th" : "td",
      { scope: index === 0 && how.head !== false ? "row" : null, class: how.number ? "number" : how.class, "data-label": title },
      cell(row)));
  return h("div", { class: "wide", role: "region", "aria-label": caption, tabindex: "0" },
    h("table", { class: properties.class },
      h("caption", { class: properties.shown ? null : "unseen" }, caption),
      h("thead", {}, h("tr", {}, columns.map(([title, , how = {}]) =>
        h("th", { scope: "col", class: how.number ? "number" : null }, title)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, cells(row))))));
}

export function panel(title, properties, ...children) {
  const id = `p-${title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`;
  return h("section", { class: `panel ${properties.class ?? ""}`, "aria-labelledby": id },
    h("h2", { id }, title), properties.hint && h("p", { class: "hint" }, properties.hint), children);
}

export const tile = (label, value, detail, tone) =>
  h("div", { class: "tile", "data-tone": tone }, h("dt", {}, label), h("dd", {}, value, detail && h("small", {}, detail)));

export const badge = (text, tone) => h("span", { class: "badge", "data-tone": tone }, text);
export const folded = (title, ...children) => h("details", {}, h("summary", {}, title), children);

/** A refusal as the service says it: every violation by its field. */
export function problem(error) {
  return h("div", { class: "note bad", role: "alert" }, h("strong", {}, error.title ?? "This did not work"),
    h("p", {}, error.message),
    error.violations?.length > 0 && h("ul", {}, error.violations.map((one) =>
      h("li", {}, one.field && h("code", {}, one.field), one.field ? ": " : "", one.description))));
}
