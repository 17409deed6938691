// One order: what was decided and why, what happened since, what it cost, and whether a replay says the same.
import { badge, folded, h, panel, problem, replace, say, table, tile } from "./dom.js";
import { bps, clock, date, day, known, moment, number, percent, price, shares, signed, short, title, TONES } from "./format.js";
import { api } from "./api.js";
import { scheduleChart, waterfall } from "./charts.js";
import { alternativesPanel, costPanel, flipsPanel, frontierPanel, outcomeTiles, reasonPanel, strategyLine, strategyPanel, venuesPanel, versionsFold } from "./decision.js";

const PEROLD = [["delay", "delay_bps"], ["impact (estimated)", "impact_bps"], ["timing", "timing_bps"], ["spread", "spread_bps"],
  ["opportunity", "opportunity_bps"], ["fees", "fees_bps"], ["shortfall so far", "total_bps", true]];
// Updates are in the history when PostgreSQL has them, a moment after the news of them.
const SETTLE_MS = 250;

export async function show({ main, signal, desk, argument: id }) {
  let replayed = null;

  async function load() {
    const [status, history] = await Promise.all([api.status(id, signal), api.history(id, signal).catch((error) => {
      if (error.name === "AbortError") throw error;
      return { error };
    })]);
    return view(id, status, history, replayed, replay);
  }

  async function replay(selection, button) {
    button.disabled = true;
    replayed = await api.replay(selection).catch((error) => ({ error }));
    button.disabled = false;
    const verdict = replayed.error ? "Replay did not work." : VERDICTS[replayed.verdict][0];
    say(verdict);
    replace(main.querySelector("#replayed"), replayOutcome(replayed));
  }

  let timer = 0;
  desk.listen((lines, state) => {
    if (!lines.some((line) => line.order_id === id) && !(lines.length === 0 && state === "live")) return;
    clearTimeout(timer);
    timer = setTimeout(async () => {
      if (signal.aborted) return;
      const place = document.activeElement?.id;
      const open = [...main.querySelectorAll("details")].map((one) => one.open);
      const found = await load().catch(() => null);
      if (!found || signal.aborted) return;
      replace(main, found);
      [...main.querySelectorAll("details")].forEach((one, index) => { one.open = open[index] ?? false; });
      if (place && place !== "main") document.getElementById(place)?.focus({ preventScroll: true });
    }, SETTLE_MS);
  }, signal);
  signal.addEventListener("abort", () => clearTimeout(timer));
  return load();
}

function view(id, status, history, replayed, replay) {
  const response = status.current, progress = status.progress, request = history.request;
  const side = request && h("span", {}, badge(title(request.side), TONES[request.side]), " ");
  const selection = status.selections[0].selection_id;
  return [
    h("div", { class: "head" },
      h("h1", {}, id), badge(title(status.state), TONES[status.state]), h("span", { class: "grow" }),
      h("a", { class: "button", href: `#/what-if?order=${encodeURIComponent(id)}` }, "What if…"),
      h("button", { id: "replay", type: "button", onclick: (event) => replay(selection, event.currentTarget) }, "Replay")),
    h("p", {}, side, request ? `${shares(progress.parent_quantity)} ${request.instrument_id} · ${title(request.objective)} · ${title(request.urgency)} urgency · ` : "",
      h("strong", {}, strategyLine(response))),
    h("dl", { class: "tiles" },
      tile("Filled", percent(status.filled_fraction), `${shares(progress.filled_quantity)} of ${shares(progress.parent_quantity)} shares`),
      tile("Due by now", percent(status.scheduled_fraction), lag(status), status.scheduled_fraction - status.filled_fraction > 0.1 && status.state === "WORKING" ? "warn" : null),
      tile("Cost so far", bps(status.cost_so_far?.total_bps), status.cost_so_far ? `mean price ${price(status.cost_so_far.average_price)}` : "no fills yet"),
      outcomeTiles(response)),
    h("div", { id: "replayed" }, replayed && replayOutcome(replayed)),
    history.error && problem(history.error),
    h("div", { class: "grid" },
      schedulePanel(status, history), frontierPanel(response),
      reasonPanel(response, status.selections.length > 1 ? status.selections.at(-1).rationale : null), venuesPanel(response),
      costPanel(response), costSoFarPanel(status, history),
      alternativesPanel(response), flipsPanel(response),
      timelinePanel(status, history), strategyPanel(response)),
    h("div", { class: "panel after" }, h("p", { class: "quiet" }, "Selection ", h("code", {}, selection), ` · decided ${moment(date(status.selections[0].created_at))}`), versionsFold(response)),
  ];
}

function lag(status) {
  const late = status.scheduled_fraction - status.filled_fraction;
  return Math.abs(late) < 0.005 ? "on plan" : late > 0 ? `${percent(late)} behind` : `${percent(-late)} ahead`;
}

/** Cumulative points of a schedule; what is carried over is not to be sent. */
function planPoints(response, from = 0) {
  const slices = (response?.recommended_strategy.time_allocation.slices ?? []).filter((one) => one.phase !== "CARRY_OVER");
  let sum = from;
  const points = slices.length ? [[date(slices[0].start_time).getTime(), sum]] : [];
  for (const one of slices) {
    const begin = date(one.start_time).getTime();
    if (points.at(-1)[0] < begin) points.push([begin, sum]);
    points.push([begin + one.duration_seconds * 1000, sum += one.quantity]);
  }
  return points;
}

function fillPoints(events) {
  let sum = 0;
  return (events ?? []).filter((one) => one.kind === "FILL").map((one) => [date(one.time).getTime(), sum += one.quantity]);
}

function schedulePanel(status, history) {
  const response = status.current, fills = fillPoints(history.events);
  const isFirst = !history.first || history.first.created_at === response.created_at;
  const planned = planPoints(response).at(-1)?.[1] ?? 0;
  const plan = planPoints(response, isFirst ? 0 : Math.max(0, status.progress.parent_quantity - planned));
  const slices = response.recommended_strategy.time_allocation.slices;
  const allocation = response.recommended_strategy.time_allocation;
  const span = `${day(date(allocation.start_time))} ${clock(date(allocation.start_time))} to ${clock(date(allocation.end_time))}, your time.`;
  return panel("Schedule against fills", { class: "half", hint: span },
    scheduleChart({ plan, earlier: isFirst ? null : planPoints(history.first), fills, now: Date.now(), total: status.progress.parent_quantity }),
    folded("Slices as a table", table("Slices", [
      ["Start", (one) => moment(date(one.start_time))],
      ["Seconds", (one) => number(one.duration_seconds, 0), { number: true }],
      ["Shares", (one) => shares(one.quantity), { number: true }],
      ["Phase", (one) => title(one.phase)],
    ], slices)));
}

function costSoFarPanel(status, history) {
  const cost = status.cost_so_far, outcome = history.outcome, expected = (history.first ?? status.current).expected_outcomes;
  const parts = [];
  if (cost) {
    const found = PEROLD.map(([name, key, isSum]) => [name, cost[key] ?? 0, isSum]);
    parts.push(waterfall(found, `Shortfall so far ${bps(cost.total_bps)}`),
      h("p", { class: "quiet" }, `Mean fill price ${price(cost.average_price)}${cost.interval_vwap_bps ? `, ${signed(cost.interval_vwap_bps)} bps against the interval's VWAP` : ""}.`),
      folded("Split as a table", table("Shortfall after Perold", [["Part", ([name]) => name], ["bps", ([, value]) => number(value, 3), { number: true }]], found)));
  } else parts.push(h("p", { class: "quiet" }, "Nothing is filled yet; the split after Perold begins with the first fill."));
  if (outcome) {
    const actual = outcome.cost * 1e4, inside = outcome.cost >= expected.cost_quantile_10 && outcome.cost <= expected.cost_quantile_90;
    parts.push(h("h3", {}, "Outcome"), table("Outcome against forecast", [
      ["", ([name]) => name], ["Forecast", ([, forecast]) => forecast, { number: true }], ["Actual", ([, , found]) => found, { number: true }],
    ], [
      ["Cost", bps(expected.estimated_cost * 1e4), bps(actual)], ["Minutes", number(expected.estimated_time_minutes, 0), number(outcome.time_minutes, 0)],
      ["Impact", bps(expected.market_impact * 1e4), bps(outcome.market_impact === undefined ? undefined : outcome.market_impact * 1e4)],
      ["Filled", shares(status.progress.parent_quantity), shares(outcome.filled_quantity)],
    ]), h("p", { class: inside ? "note good" : "note warn" },
      `${inside ? "Within" : "Outside"} the forecast's 80 % interval; score ${number(history.performance_score)} (0.5 is as forecast, higher is cheaper).`));
  }
  return panel("Cost so far, after Perold", { class: "half" }, parts);
}

function timelinePanel(status, history) {
  const decided = { time: status.selections[0].created_at, kind: "DECIDED", detail: `${status.selections[0].strategy_name}. ${status.selections[0].rationale}` };
  const events = [decided, ...(history.events ?? [])].reverse();
  const left = Number(history.events_left_out ?? 0);
  return panel("Timeline", { class: "two-thirds", hint: left ? `${number(left, 0)} older updates are left out.` : null },
    h("ol", { class: "timeline", tabindex: "0", "aria-label": "Timeline, newest first" }, events.map((one) => {
      const at = date(one.time), tone = TONES[one.action] ?? { FILL: "good", DECIDED: "info", TERMINAL: "calm", PAUSE: "warn" }[one.kind];
      return h("li", {}, h("time", { datetime: one.time, title: moment(at) }, clock(at, true)),
        h("span", {}, badge(known(one.action) ? title(one.action) : title(one.kind), tone)), h("p", {}, eventWords(one)));
    })));
}

function eventWords(one) {
  const parts = [];
  if (one.kind === "FILL") parts.push(`${shares(one.quantity)} at ${price(one.price)}${one.venue ? ` on ${one.venue}` : ""}`);
  else if (one.quantity) parts.push(`${shares(one.quantity)} shares`);
  if (known(one.trigger)) parts.push(h("strong", {}, title(one.trigger)), ". ");
  if (one.detail) parts.push(parts.length && one.kind !== "ADVICE" ? `, ${one.detail}` : one.detail);
  return parts;
}

const VERDICTS = {
  IDENTICAL: ["The replay gives the same bytes.", "good"],
  DIFFERENT: ["The replay differs from what was recorded.", "bad"],
  ENGINE_CHANGED: ["Another build of the engine decided; this is what today's says.", "warn"],
};

function replayOutcome(found) {
  if (found.error) return problem(found.error);
  const [text, tone] = VERDICTS[found.verdict] ?? [title(found.verdict), "warn"];
  return h("div", { class: `note ${tone}` }, h("strong", {}, text),
    found.replayed && h("p", {}, `${strategyLine(found.replayed)} · ${bps(found.replayed.cost_breakdown.expected_cost_bps)} · models ${short(found.replayed.versions.models_sha256)}`),
    found.differences?.length > 0 && table("Differences", [["Field", (one) => h("code", {}, one.field)], ["Recorded", (one) => one.recorded], ["Replayed", (one) => one.replayed]], found.differences));
}
