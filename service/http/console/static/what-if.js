// What-if: every change is decided anew as a dry run, nothing is recorded, and the answer stands beside a pinned one.
import { h, panel, problem, replace, say, table, tile } from "./dom.js";
import { bps, date, minutes, moment, number, percent, price, shares, signed, title } from "./format.js";
import { api } from "./api.js";
import { drawing, scheduleChart } from "./charts.js";
import { alternativesPanel, costPanel, flipsPanel, frontierPanel, reasonPanel, strategyLine, strategyPanel, venuesPanel, versionsFold } from "./decision.js";

const DEBOUNCE_MS = 40;
const SPOKEN_AFTER_MS = 1_200;
const OBJECTIVES = ["MINIMIZE_COST", "MINIMIZE_RISK", "MINIMIZE_TIME", "MAXIMIZE_ALPHA_CAPTURE", "BALANCED_EXECUTION"];
const URGENCIES = ["LOW", "NORMAL", "HIGH", "URGENT"];
const SIDES = ["BUY", "SELL", "SELL_SHORT"];
// name, label, unit, scale of what is shown, range of the slider around the instrument's own figure
const MARKET = {
  daily_volatility: { label: "Daily volatility", unit: "%", scale: 100, digits: 2, low: 0.25, high: 4 },
  spread_bps: { label: "Spread", unit: "bps", scale: 1, digits: 2, low: 0.1, high: 10 },
};

export async function show({ signal, query }) {
  drawing.wide = 430;
  const [{ instruments }, from] = await Promise.all([api.instruments(), query.get("order") ? api.history(query.get("order"), signal) : null]);
  const byName = new Map(instruments.map((one) => [one.instrument_id, one]));
  return new WhatIf(byName, from, signal).elements;
}

/** Shares in whole lots that a slider's place stands for; sizes are spread by their logarithm. */
const sizeAt = (place, instrument) => {
  const lot = instrument.lot_size || 1, volume = instrument.average_daily_volume ?? 1e6;
  return Math.max(lot, Math.round((volume * 10 ** (-4 + place * 3.5)) / lot) * lot);
};
const placeOf = (quantity, instrument) => Math.min(1, Math.max(0, (Math.log10(quantity / (instrument.average_daily_volume ?? 1e6)) + 4) / 3.5));

class WhatIf {
  constructor(instruments, from, signal) {
    this.instruments = instruments;
    this.from = from;
    this.signal = signal;
    this.call = new AbortController();
    signal.addEventListener("abort", () => { this.call.abort(); clearTimeout(this.timer); clearTimeout(this.spoken); });
    const request = from?.request;
    const name = request?.instrument_id ?? (instruments.has("AIG") ? "AIG" : instruments.keys().next().value);
    this.values = {
      instrument_id: name, side: request?.side ?? "BUY", objective: request?.objective ?? "BALANCED_EXECUTION", urgency: request?.urgency ?? "NORMAL",
      quantity: request?.quantity ?? sizeAt(0.571, instruments.get(name)), max_participation_rate: request?.constraints?.max_participation_rate ?? from?.first?.resolved_inputs?.max_participation_rate ?? 0.2,
      daily_volatility: request?.market_context?.daily_volatility ?? from?.first?.resolved_inputs?.daily_volatility,
      spread_bps: request?.market_context?.spread_bps ?? from?.first?.resolved_inputs?.spread_bps,
    };
    this.pinned = null;
    this.latest = null;
    this.answer = h("div", { id: "answer", class: "stack" }, h("p", { class: "quiet" }, "Deciding…"));
    // Stays in sight on a phone, where the form comes first.
    this.headline = h("div", { class: "panel headline", id: "headline" }, h("p", { class: "quiet" }, "Deciding…"));
    this.form = h("form", { class: "form", id: "what-if", onsubmit: (event) => event.preventDefault() });
    this.drawForm();
    this.elements = [
      h("div", { class: "head" }, h("h1", {}, "What-if"), h("p", { class: "quiet" },
        from ? ["from order ", h("a", { href: `#/order/${encodeURIComponent(from.order_id)}` }, from.order_id), ". "] : "", "Dry runs: nothing is recorded or announced.")),
      this.headline,
      h("div", { class: "grid" }, h("section", { class: "panel third aside", "aria-label": "Order and market" }, this.form), h("div", { class: "two-thirds" }, this.answer)),
    ];
    this.decide();
  }

  get instrument() { return this.instruments.get(this.values.instrument_id); }

  drawForm() {
    const { values } = this, one = this.instrument;
    const choice = (id, label, options) => h("div", { class: "field" }, h("label", { for: id }, label),
      h("select", { id, onchange: (event) => this.set(id, event.target.value, event) },
        options.map((value) => h("option", { value, selected: values[id] === value }, title(value)))));
    const instrument = h("div", { class: "field" }, h("label", { for: "instrument_id" }, "Instrument"),
      h("select", { id: "instrument_id", onchange: (event) => this.choose(event.target.value, event) },
        [...this.instruments.values()].map((found) =>
          h("option", { value: found.instrument_id, selected: found.instrument_id === values.instrument_id }, `${found.instrument_id} · ${found.description}`))));
    const figures = h("p", { class: "unit" }, `${one.primary_mic}, ${one.currency} ${price(one.mid_price)}, lots of ${shares(one.lot_size)}, ${shares(one.average_daily_volume)} a day`);
    replace(this.form, instrument, figures,
      h("div", { class: "pairs" }, choice("side", "Side", SIDES), choice("urgency", "Urgency", URGENCIES)),
      choice("objective", "Objective", OBJECTIVES),
      this.slider("quantity", "Size, shares", { place: (value) => placeOf(value, one), value: (place) => sizeAt(place, one), digits: 0, least: one.lot_size, step: one.lot_size,
        note: (value) => `${percent(value / (one.average_daily_volume ?? NaN), 2)} of daily volume` }),
      Object.entries(MARKET).map(([name, how]) => {
        const own = one[name] ?? (name === "spread_bps" ? 3 : 0.02);
        values[name] ??= own;
        const scale = Math.log(how.high / how.low);
        return this.slider(name, `${how.label}, ${how.unit}`, {
          place: (value) => Math.min(1, Math.max(0, Math.log(value / own / how.low) / scale)), value: (place) => own * how.low * Math.exp(place * scale),
          digits: how.digits, scale: how.scale, least: 0, note: () => `snapshot ${number(own * how.scale, how.digits)} ${how.unit}` });
      }),
      this.slider("max_participation_rate", "Most of market volume, %", { place: (value) => value / 0.5, value: (place) => Math.max(0.01, Math.round(place * 50) / 100), digits: 1, scale: 100, least: 0.1, note: () => "hard limit" }),
      h("div", { class: "pairs" },
        h("button", { type: "button", id: "pin", onclick: () => this.pin() }, "Compare with this"),
        h("button", { type: "button", id: "reset", onclick: () => this.reset() }, "Snapshot's market")));
  }

  /** A slider and a box for the same figure, each following the other. */
  slider(name, label, how) {
    const scale = how.scale ?? 1, id = `${name}-box`;
    const shown = () => Number((this.values[name] * scale).toFixed(how.digits));
    const note = h("span", { class: "unit", id: `${name}-note` }, how.note(this.values[name]));
    const range = h("input", { type: "range", id: name, min: 0, max: 1, step: 0.002, value: how.place(this.values[name]), "aria-label": label, "aria-describedby": note.id });
    const box = h("input", { type: "number", id, min: how.least, step: how.step ?? "any", value: shown(), inputmode: "decimal", "aria-describedby": note.id });
    const speak = () => { range.setAttribute("aria-valuetext", `${shown()}`); note.textContent = how.note(this.values[name]); };
    range.addEventListener("input", (event) => { this.set(name, how.value(Number(range.value)), event); box.value = shown(); speak(); });
    box.addEventListener("input", (event) => {
      const value = Number(box.value) / scale;
      const sound = box.value !== "" && Number.isFinite(value) && value >= 0;
      box.setAttribute("aria-invalid", String(!sound));
      if (!sound) return;
      this.set(name, value, event);
      range.value = how.place(value || 1e-9);
      speak();
    });
    speak();
    return h("div", { class: "field" }, h("label", { for: id }, label), h("div", { class: "row" }, range, box), note);
  }

  set(name, value, event) {
    this.values[name] = value;
    this.later(event);
  }

  choose(name, event) {
    const place = placeOf(this.values.quantity, this.instrument);
    Object.assign(this.values, { instrument_id: name, daily_volatility: undefined, spread_bps: undefined });
    this.values.quantity = sizeAt(place, this.instrument);
    this.pinned = null;
    this.drawForm();
    document.getElementById("instrument_id").focus();
    this.later(event);
  }

  reset() {
    Object.assign(this.values, { daily_volatility: undefined, spread_bps: undefined });
    this.drawForm();
    document.getElementById("reset").focus();
    this.decide();
  }

  pin() {
    this.pinned = this.latest;
    say("Compared with this from now on.");
    this.draw();
  }

  later(event) {
    this.since = event?.timeStamp ?? performance.now();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.decide(), DEBOUNCE_MS);
  }

  body() {
    const { values, from } = this, first = from?.request ?? {};
    const own = first.instrument_id === values.instrument_id;
    // An order that is yet to begin is asked about for then, every other for now.
    const begins = own && Date.parse(first.effective_time) > Date.now() ? { effective_time: first.effective_time } : {};
    return {
      order_id: "what-if", dry_run: true, instrument_id: values.instrument_id, side: values.side, quantity: values.quantity, objective: values.objective,
      urgency: values.urgency, constraints: { ...(own ? first.constraints : {}), max_participation_rate: values.max_participation_rate },
      market_context: { ...(own ? context(first.market_context) : {}), daily_volatility: values.daily_volatility, spread_bps: values.spread_bps },
      ...begins,
    };
  }

  async decide() {
    // Only the newest question matters; the one before is taken back.
    this.call.abort();
    this.call = new AbortController();
    const { signal } = this.call, since = this.since;
    this.answer.classList.add("busy");
    try {
      const found = await api.recommend(this.body(), signal);
      if (signal.aborted || this.signal.aborted) return;
      this.latest = found;
      this.pinned ??= found;
      this.draw();
      if (since !== undefined) requestAnimationFrame(() => performance.measure("what-if", { start: since, end: performance.now() }));
    } catch (error) {
      if (error.name === "AbortError" || this.signal.aborted) return;
      replace(this.headline, h("p", { class: "choice" }, "No decision"), h("p", { class: "quiet" }, error.title ?? ""));
      replace(this.answer, problem(error));
    } finally {
      if (!signal.aborted) this.answer.classList.remove("busy");
    }
  }

  draw() {
    const { latest, pinned, answer } = this;
    const open = [...answer.querySelectorAll("details")].map((one) => one.open);
    const other = pinned === latest ? null : pinned;
    const cost = latest.cost_breakdown, before = other?.cost_breakdown;
    const delta = (now, then, digits = 2, scale = 1, unit = "") => then === undefined ? null
      : h("span", { class: now < then ? "better" : now > then ? "worse" : null }, `${signed((now - then) * scale, digits)}${unit} against ${number(then * scale, digits)}`);
    const found = latest.expected_outcomes, allocation = latest.recommended_strategy.time_allocation;
    replace(this.headline, h("p", { class: "choice" }, strategyLine(latest)),
      h("p", {}, h("strong", {}, bps(cost.expected_cost_bps)), ` ± ${bps(cost.standard_deviation_bps, 1)}`, other && [" · ", delta(cost.expected_cost_bps, before.expected_cost_bps)]));
    replace(answer,
      h("p", { class: "quiet" }, other ? (other.recommended_strategy.strategy_name === latest.recommended_strategy.strategy_name ? "The same strategy as what it is compared with." : `Instead of ${strategyLine(other)}.`) : "Change something: what stands here now is what changes are compared with."),
      h("dl", { class: "tiles" },
        tile("Expected cost", bps(cost.expected_cost_bps), delta(cost.expected_cost_bps, before?.expected_cost_bps)),
        tile("Std deviation", bps(cost.standard_deviation_bps, 1), delta(cost.standard_deviation_bps, before?.standard_deviation_bps)),
        tile("Utility", bps(cost.utility_bps), delta(cost.utility_bps, before?.utility_bps)),
        tile("Horizon", minutes(allocation.horizon_minutes), other && `against ${minutes(other.recommended_strategy.time_allocation.horizon_minutes)}`),
        tile("Completion", percent(found.completion_probability, 0), other && `against ${percent(other.expected_outcomes.completion_probability, 0)}`),
        tile("Confidence", percent(latest.confidence, 0))),
      h("div", { class: "grid" }, frontierPanel(latest, other?.efficient_frontier), costPanel(latest), planPanel(latest, other), flipsPanel(latest),
        alternativesPanel(latest), strategyPanel(latest, "half"), reasonPanel(latest), venuesPanel(latest)),
      h("div", { class: "panel" }, versionsFold(latest)));
    [...answer.querySelectorAll("details")].forEach((one, index) => { one.open = open[index] ?? false; });
    clearTimeout(this.spoken);
    this.spoken = setTimeout(() => say(`${latest.recommended_strategy.strategy_name}, ${bps(cost.expected_cost_bps)}`), SPOKEN_AFTER_MS);
  }
}

/** The gateway's own words on the market; bars are left out, since they were of another moment. */
function context(found = {}) {
  const { recent_bars: _bars, current_conditions: condition, ...rest } = found ?? {};
  return condition && condition !== "UNSPECIFIED" ? { ...rest, current_conditions: condition } : rest;
}

const planOf = (response) => {
  let sum = 0;
  const slices = response.recommended_strategy.time_allocation.slices.filter((one) => one.phase !== "CARRY_OVER");
  return slices.length ? [[date(slices[0].start_time).getTime(), 0],
    ...slices.map((one) => [date(one.start_time).getTime() + one.duration_seconds * 1000, sum += one.quantity])] : [];
};

function planPanel(response, other) {
  const plan = planOf(response);
  return panel("Schedule", { class: "half", hint: `Begins ${moment(date(response.recommended_strategy.time_allocation.start_time))}, your time.` },
    scheduleChart({ plan, earlier: other ? planOf(other) : null, fills: [], now: 0, total: plan.at(-1)?.[1] ?? 0 }));
}
