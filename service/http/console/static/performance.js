// What strategies cost, against what was forecast; and whether that says anything yet.
import { badge, folded, h, panel, problem, replace, table, tile } from "./dom.js";
import { bps, number, percent, title } from "./format.js";
import { api } from "./api.js";
import { drawing, predictedChart } from "./charts.js";

const GROUPS = [["by_strategy", "Strategy"], ["by_objective", "Objective"], ["by_condition", "Condition"], ["by_size", "Size"], ["by_venue", "Venue"]];
const DAY_MS = 86_400_000;
const utcDay = (at) => new Date(at).toISOString().slice(0, 10);
const chosen = { start: utcDay(Date.now() - 29 * DAY_MS), end: utcDay(Date.now()), group: "by_strategy" };
const ofLine = (value) => bps(value * 1e4);
const label = (text) => (/^[A-Z_]+$/.test(text) && text.includes("_") ? title(text) : text);

const COLUMNS = [
  ["Of", (line) => [label(line.label), h("br"), line.not_distinguishable ? badge("not distinguishable yet", "calm") : badge("differs from the rest", "info")]],
  ["Orders", (line) => number(line.orders_executed, 0), { number: true }],
  ["Predicted", (line) => ofLine(line.predicted_cost), { number: true }],
  ["Actual", (line) => ofLine(line.avg_cost), { number: true }],
  ["95 % bounds", (line) => (line.avg_cost_lower > -1 ? `${number(line.avg_cost_lower * 1e4)} to ${number(line.avg_cost_upper * 1e4)}` : "one order only"), { number: true }],
  ["In 80 % interval", (line) => percent(line.interval_coverage, 0), { number: true }],
  ["Success", (line) => percent(line.success_rate, 0), { number: true }],
];

export function show({ signal }) {
  drawing.wide = 430;
  const body = h("div", { class: "stack" });
  const day = (id, name) => [h("label", { for: id }, name), h("input", { type: "date", id, value: chosen[id], required: true,
    onchange: (event) => { if (event.target.value) { chosen[id] = event.target.value; load(); } } })];
  const group = h("select", { id: "group", onchange: (event) => { chosen.group = event.target.value; draw(); } },
    GROUPS.map(([value, name]) => h("option", { value, selected: value === chosen.group }, name)));
  let report = null;

  function draw() {
    if (!report) return;
    const lines = report[chosen.group] ?? [], name = GROUPS.find(([value]) => value === chosen.group)[1];
    if (!lines.length) {
      replace(body, h("div", { class: "panel" }, h("p", {}, "No outcome was reported on these days."),
        h("p", { class: "quiet" }, "A gateway or TCA system reports how an order ended with ReportOutcome; forecasts are compared with those.")));
      return;
    }
    const all = report.by_strategy ?? [], orders = all.reduce((sum, one) => sum + one.orders_executed, 0);
    const mean = (key) => all.reduce((sum, one) => sum + one[key] * one.orders_executed, 0) / orders;
    const doubtful = lines.filter((one) => one.not_distinguishable).length;
    replace(body,
      h("dl", { class: "tiles" }, tile("Orders", number(orders, 0), "with a reported outcome"), tile("Predicted", ofLine(mean("predicted_cost")), "mean over orders"),
        tile("Actual", ofLine(mean("avg_cost")), "mean over orders"), tile("In the 80 % interval", percent(mean("interval_coverage"), 0), "80 % is right"),
        tile("Not distinguishable", `${doubtful} of ${lines.length}`, "bounds hold the mean of the others")),
      h("div", { class: "grid" },
        panel(`Predicted against actual, by ${name.toLowerCase()}`, { class: "third" }, predictedChart(lines.map((one) => ({ ...one, label: label(one.label) })))),
        panel("Figures", { class: "two-thirds" }, table(`Performance by ${name.toLowerCase()}`, COLUMNS, lines))),
      h("div", { class: "panel" }, folded("Day by day", table("Daily performance", [
        ["Strategy", (one) => one.strategy_name], ["Day, UTC", (one) => one.execution_date], ["Orders", (one) => number(one.orders_executed, 0), { number: true }],
        ["Cost", (one) => ofLine(one.avg_cost), { number: true }], ["Impact", (one) => ofLine(one.avg_market_impact), { number: true }], ["Success", (one) => percent(one.success_rate, 0), { number: true }],
      ], report.daily ?? []))));
  }

  let call = new AbortController();
  signal.addEventListener("abort", () => call.abort());
  async function load() {
    call.abort();
    call = new AbortController();
    const own = call;
    try {
      report = await api.performance(chosen.start, chosen.end, own.signal);
      if (!own.signal.aborted) draw();
    } catch (error) {
      if (error.name !== "AbortError") replace(body, problem(error));
    }
  }

  replace(body, h("p", { class: "quiet" }, "Loading…"));
  load();
  return [
    h("div", { class: "head" }, h("h1", {}, "Performance"), h("p", { class: "quiet" }, "UTC days on which outcomes were reported"), h("span", { class: "grow" }),
      day("start", "From"), day("end", "to"), h("label", { for: "group" }, "By"), group),
    body,
  ];
}
