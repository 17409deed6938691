// Live orders: a line each, moving as advice and fills come.
import { badge, h, replace, table } from "./dom.js";
import { ago, bps, date, known, moment, number, percent, shares, title, TONES } from "./format.js";
import { api } from "./api.js";
import { progressBar } from "./charts.js";

const OPEN = new Set(["RECOMMENDED", "WORKING", "PAUSED", "HALTED"]);
const REFRESH_MS = 10_000;
const MOST_SHOWN = 200;
const filter = { text: "", state: "open" };

export const orderLink = (id) => `#/order/${encodeURIComponent(id)}`;
const changed = (line) => Number(line.revision);

function behind(line) {
  const due = line.scheduled_fraction - line.filled_fraction;
  if (!OPEN.has(line.state) || line.state === "RECOMMENDED") return "";
  return due > 0.02 ? `${percent(due, 0)} behind` : due < -0.02 ? `${percent(-due, 0)} ahead` : "on plan";
}

const COLUMNS = [
  ["Order", (line) => h("a", { href: orderLink(line.order_id), class: "clip", title: line.order_id }, line.order_id)],
  ["Side", (line) => badge(title(line.side), TONES[line.side])],
  ["Instrument", (line) => h("span", { class: "mono" }, line.instrument_id)],
  ["Shares", (line) => shares(line.progress.parent_quantity), { number: true }],
  ["State", (line) => badge(title(line.state), TONES[line.state])],
  ["Filled", (line) => [`${percent(line.filled_fraction, 0)} `, h("small", { class: "quiet" }, behind(line)), progressBar(line.filled_fraction, OPEN.has(line.state) ? line.scheduled_fraction : 0)]],
  ["Strategy", (line) => line.strategy_name],
  ["Expected", (line) => bps(line.expected_cost_bps), { number: true }],
  ["So far", (line) => bps(line.cost_so_far_bps), { number: true }],
  ["Advice", (line) => advice(line), { class: "advice" }],
];

function advice(line) {
  const at = date(line.advised_at);
  if (!known(line.action)) return h("span", { class: "quiet" }, `as decided ${ago(date(line.created_at))}`);
  return [badge(title(line.action), TONES[line.action]), " ", title(known(line.trigger)), " ",
    h("time", { class: "quiet", datetime: line.advised_at, title: moment(at) }, ago(at)), h("small", { title: line.rationale }, line.rationale)];
}

export function show({ signal, desk }) {
  const count = h("p", { class: "quiet", id: "count" });
  const body = h("div");
  const text = h("input", { type: "search", id: "filter", value: filter.text, placeholder: "order, instrument, strategy", autocomplete: "off", spellcheck: "false",
    oninput: (event) => { filter.text = event.target.value; draw(); } });
  const state = h("select", { id: "state", onchange: (event) => { filter.state = event.target.value; draw(); } },
    [["open", "Open"], ["all", "All"]].map(([value, name]) => h("option", { value, selected: filter.state === value }, name)));
  let fresh = new Set();

  function wanted() {
    const parts = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (line) => (filter.state === "all" || OPEN.has(line.state))
      && parts.every((part) => `${line.order_id} ${line.instrument_id} ${line.strategy_name} ${line.side}`.toLowerCase().includes(part));
    return [...desk.lines.values()].filter(fits).sort((one, other) => changed(other) - changed(one));
  }

  function draw() {
    const lines = wanted(), shown = lines.slice(0, MOST_SHOWN);
    count.textContent = `${number(lines.length, 0)} order${lines.length === 1 ? "" : "s"}${lines.length > shown.length ? `, the last ${MOST_SHOWN} shown` : ""}`;
    const held = document.activeElement?.closest?.("tr")?.querySelector("a")?.getAttribute("href");
    if (!shown.length) {
      const quiet = desk.state === "wait" && !desk.lines.size ? "Waiting for the service…"
        : desk.lines.size ? "No order fits." : "No orders yet. What a gateway sends with Recommend appears here at once; What-if needs none.";
      replace(body, h("p", { class: "quiet" }, quiet));
      return;
    }
    const made = table("Orders, last changed first", COLUMNS, shown, { class: "orders" });
    [...made.querySelectorAll("tbody tr")].forEach((row, index) => fresh.has(shown[index].order_id) && row.classList.add("flash"));
    fresh = new Set();
    replace(body, made);
    // Redrawing must not take the place from whoever moves by keyboard.
    if (held) [...made.querySelectorAll("tbody a")].find((one) => one.getAttribute("href") === held)?.focus({ preventScroll: true });
  }

  let due = 0;
  desk.listen((lines) => {
    if (desk.primed) for (const line of lines) fresh.add(line.order_id);
    due ||= requestAnimationFrame(() => { due = 0; if (!signal.aborted) draw(); });
  }, signal);
  // What is due moves with time, without any news.
  const timer = setInterval(async () => {
    if (document.hidden || desk.state !== "live") return;
    const found = await api.orders(signal).catch(() => null);
    if (!found || signal.aborted) return;
    for (const line of found.orders) if (changed(line) >= changed(desk.lines.get(line.order_id) ?? { revision: 0 })) desk.lines.set(line.order_id, line);
    draw();
  }, REFRESH_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  draw();
  return [
    h("div", { class: "head" }, h("h1", {}, "Orders"), count, h("span", { class: "grow" }),
      h("span", { class: "pair" }, h("label", { for: "filter" }, "Filter"), text), h("span", { class: "pair" }, h("label", { for: "state" }, "Show"), state)),
    h("div", { class: "panel bare" }, body),
  ];
}
