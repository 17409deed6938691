// The parts of a decision, shown alike on an order's page and in what-if.
import { badge, folded, h, panel, table, tile } from "./dom.js";
import { bps, minutes, number, percent, price, shares, short, signed, title, words } from "./format.js";
import { frontierChart, shareBar, waterfall } from "./charts.js";

const PARTS = [
  ["spread", "spread_bps"], ["impact", "impact_bps"], ["fees", "fees_bps"], ["dark saving", "dark_saving_bps"],
  ["learned correction", "learned_correction_bps"], ["expected cost", "expected_cost_bps", true],
  ["timing risk", "timing_risk_bps"], ["alpha", "alpha_bps"], ["time", "time_bps"], ["utility", "utility_bps", true],
];
const INPUTS = {
  spread_bps: ["Spread", (value) => bps(value, 1)], daily_volatility: ["Daily volatility", (value) => percent(value, 2)],
  short_term_alpha_bps_per_day: ["Drift a day", (value) => bps(value, 0)], quantity: ["Size", (value) => `${shares(value)} shares`],
};

export function parameters(values) {
  return Object.entries(values ?? {}).map(([name, value]) => {
    const text = typeof value === "boolean" ? (value ? "yes" : "no")
      : typeof value === "number" ? (/(^|_)(rate|ratio|fraction)(_|$)/.test(name) ? percent(value) : number(value, Number.isInteger(value) ? 0 : 1)) : String(value);
    return [words(name), text];
  });
}

export const outcomeTiles = (response) => {
  const found = response.expected_outcomes, cost = response.cost_breakdown;
  return [
    tile("Expected cost", bps(cost.expected_cost_bps), `± ${bps(cost.standard_deviation_bps, 1)}; 80 % in ${number(found.cost_quantile_10 * 1e4, 1)} to ${number(found.cost_quantile_90 * 1e4, 1)}`),
    tile("Utility", bps(cost.utility_bps), "what was minimised"),
    tile("Completion", percent(found.completion_probability, 0), `within ${minutes(response.recommended_strategy.time_allocation.horizon_minutes)}`),
    tile("Confidence", percent(response.confidence, 0), "within tolerance of the best"),
    tile("Condition", title(response.condition.condition), response.condition.detected ? `detected, ${percent(response.condition.probability, 0)}` : "as given"),
  ];
};

export function frontierPanel(response, before, size = "half") {
  const points = response.efficient_frontier;
  return panel("Efficient frontier", { class: size, hint: "Every point is the cheapest for its risk; the ring is the choice." },
    frontierChart(points, before),
    folded("Points as a table", table("Efficient frontier", [
      ["Strategy", (one) => [one.strategy_name, one.chosen && [" ", badge("chosen", "info")]]],
      ["Minutes", (one) => number(one.horizon_minutes, 0), { number: true }],
      ["SD, bps", (one) => number(one.standard_deviation_bps), { number: true }],
      ["Cost, bps", (one) => number(one.expected_cost_bps), { number: true }],
    ], points)));
}

export function costPanel(response, size = "half") {
  const found = PARTS.map(([name, key, isSum]) => [name, response.cost_breakdown[key] ?? 0, isSum]).filter(([, value, isSum]) => isSum || Math.abs(value) >= 0.005);
  return panel("Cost breakdown", { class: size, hint: "bps of the notional at the arrival mid; what hurts is positive." },
    waterfall(found, `Expected cost ${bps(response.cost_breakdown.expected_cost_bps)}, utility ${bps(response.cost_breakdown.utility_bps)}`),
    folded("Parts as a table", table("Cost breakdown", [["Part", ([name]) => name], ["bps", ([, value]) => number(value, 3), { number: true }]], found)));
}

export function venuesPanel(response, size = "third") {
  const shares_ = Object.entries(response.recommended_strategy.venue_allocation ?? {}).sort((one, other) => other[1] - one[1]);
  const largest = shares_[0]?.[1];
  return panel("Venues", { class: size }, table("Venues", [
    ["Venue", ([venue]) => [h("span", { class: "mono" }, venue), shareBar(shares_.find(([name]) => name === venue)[1], largest)]],
    ["Share", ([, share]) => percent(share), { number: true }],
  ], shares_));
}

export function alternativesPanel(response, size = "half") {
  const found = response.alternative_strategies ?? [];
  return panel("Alternatives", { class: size, hint: "Against the choice. Utility is what was minimised: + is worse." }, found.length ? table("Alternatives", [
    ["Strategy", (one) => one.strategy_name],
    ["Utility, bps", (one) => signed(one.utility_difference_bps), { number: true }],
    ["Cost, bps", (one) => signed(one.cost_difference_bps), { number: true }],
    ["Why not", (one) => one.reason, { class: "advice" }],
  ], found, { class: "cards" }) : h("p", { class: "quiet" }, "Nothing else was allowed."));
}

export function flipsPanel(response, size = "half") {
  const found = response.flip_conditions ?? [];
  return panel("What would change its mind", { class: size }, found.length ? table("What would change its mind", [
    ["Input", (one) => (INPUTS[one.input] ?? [words(one.input)])[0]],
    ["Now", (one) => (INPUTS[one.input]?.[1] ?? number)(one.current_value), { number: true }],
    ["Changes at", (one) => (INPUTS[one.input]?.[1] ?? number)(one.flip_value), { number: true }],
    ["To", (one) => one.strategy_name, { class: "advice" }],
  ], found, { class: "cards" }) : h("p", { class: "quiet" }, "No single input within reach would."));
}

export function reasonPanel(response, advice = null, size = "two-thirds") {
  return panel("Why", { class: size },
    advice && h("p", { class: "note" }, h("strong", {}, "Newest advice: "), advice),
    // An advice with a plan of its own ends with why that plan: it is not said twice.
    h("div", { class: "prose" }, !advice?.includes(response.strategy_rationale) && h("p", {}, response.strategy_rationale),
      response.condition.evidence && h("p", { class: "quiet" }, `Condition: ${response.condition.evidence}`)),
    response.binding_constraints?.length > 0 && h("div", { class: "note warn" }, h("strong", {}, "Constraints that cost: "), response.binding_constraints.join("; ")),
    response.structural_only && h("p", { class: "note warn" }, "Decided by the cost surfaces alone."),
    response.warnings?.map((text) => h("p", { class: "note warn" }, text)));
}

export function strategyPanel(response, size = "third") {
  const strategy = response.recommended_strategy, risk = strategy.risk_controls;
  const rows = [...parameters(strategy.parameters),
    ["most of market volume", percent(risk.max_participation_rate)], ["largest slice", `${shares(risk.max_slice_quantity)} shares`],
    ["stop beyond price", price(risk.price_limit)], ["pause above spread", bps(risk.max_spread_bps, 1)]];
  return panel("Parameters and controls", { class: size },
    table("Parameters and controls", [["Name", ([name]) => name], ["Value", ([, value]) => value, { number: true }]], rows));
}

export function versionsFold(response) {
  const versions = response.versions ?? {}, inputs = response.resolved_inputs ?? {}, fix = response.fix ?? {};
  const rows = [
    ["mid", price(inputs.mid_price)], ["spread", bps(inputs.spread_bps)], ["daily volatility", percent(inputs.daily_volatility, 2)],
    ["average daily volume", `${shares(inputs.average_daily_volume)} shares`], ["market volume expected", `${shares(inputs.expected_market_volume)} shares`],
    ["minutes available", number(inputs.available_minutes, 0)], ["from the snapshot", (inputs.from_snapshot ?? []).join(", ") || "nothing"],
    ["FIX 847", String(fix.target_strategy ?? "–")],
    ...(fix.strategy_parameters ?? []).map((one) => [`FIX 958 ${one.strategy_parameter_name}`, one.strategy_parameter_value]),
    ["engine", versions.engine ?? "–"], ["surfaces", short(versions.surfaces_sha256)], ["models", short(versions.models_sha256)], ["utility table", short(versions.utility_sha256)],
  ];
  return folded("Inputs, FIX fields and versions", table("Inputs, FIX fields and versions",
    [["Name", ([name]) => name], ["Value", ([, value]) => h("span", { class: "mono" }, value), { number: true }]], rows));
}

export const strategyLine = (response) => {
  const strategy = response.recommended_strategy;
  const rate = strategy.parameters?.participation_rate;
  return [strategy.strategy_name, minutes(strategy.time_allocation.horizon_minutes), rate ? `${percent(rate)} of volume` : ""].filter(Boolean).join(" · ");
};
