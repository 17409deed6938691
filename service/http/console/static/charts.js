// Charts as SVG, drawn for the width there is. Each has its figures in a table beside it; the picture says the gist.
import { h, s } from "./dom.js";
import { bps, clock, day, number, percent, shares } from "./format.js";

const HEIGHT = 240;
const MARGIN = { left: 54, right: 14, top: 22, bottom: 34 };

/** Units across a picture: text is as large as it stands in the page where that is about its width. */
export const drawing = { wide: 660 };
const width = () => (globalThis.innerWidth < 900 ? 350 : drawing.wide);

/** Round steps that cover a span: [first, ..., last]. */
export function ticks(low, high, most = 5) {
  const span = high - low || Math.abs(high) || 1;
  const raw = span / most;
  const scale = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * scale).find((one) => one >= raw - 1e-12);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step) found.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  return found;
}

function timeTicks(low, high, most) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440].map((minutes) => minutes * 60_000);
  const step = steps.find((one) => (high - low) / one <= most) ?? steps.at(-1);
  const offset = new Date(low).getTimezoneOffset() * 60_000;
  const found = [];
  for (let at = Math.ceil((low - offset) / step) * step + offset; at <= high; at += step) found.push(at);
  return found;
}

function frame(label, x, y, options) {
  const wide = width();
  const inner = { width: wide - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
  const px = (value) => MARGIN.left + ((value - x[0]) / (x[1] - x[0] || 1)) * inner.width;
  const py = (value) => MARGIN.top + inner.height - ((value - y[0]) / (y[1] - y[0] || 1)) * inner.height;
  const few = wide < 500;
  const xs = options.time ? timeTicks(x[0], x[1], few ? 4 : 6) : ticks(x[0], x[1], few ? 4 : 7);
  const svg = s("svg", { class: "chart", viewBox: `0 0 ${wide} ${HEIGHT}`, role: "img", "aria-label": label },
    ticks(y[0], y[1], 4).map((value) => [
      s("line", { class: "grid-line", x1: MARGIN.left, x2: wide - MARGIN.right, y1: py(value), y2: py(value) }),
      s("text", { x: MARGIN.left - 7, y: py(value) + 4, "text-anchor": "end" }, options.y(value)),
    ]),
    xs.map((value) => s("text", { x: px(value), y: HEIGHT - 18, "text-anchor": "middle" }, options.x(value))),
    s("line", { class: "axis", x1: MARGIN.left, x2: wide - MARGIN.right, y1: py(y[0]), y2: py(y[0]) }),
    options.xTitle && s("text", { x: wide - MARGIN.right, y: HEIGHT - 3, "text-anchor": "end" }, options.xTitle),
    options.yTitle && s("text", { x: 2, y: 10 }, options.yTitle));
  return { svg, px, py };
}

const spread = (values, room) => {
  const low = Math.min(...values), high = Math.max(...values);
  const more = (high - low || Math.abs(high) || 1) * room;
  return [low - more, high + more];
};

const path = (points, px, py, step) => points.map(([x, y], index) =>
  index === 0 ? `M${px(x).toFixed(1)} ${py(y).toFixed(1)}`
    : step ? `H${px(x).toFixed(1)}V${py(y).toFixed(1)}` : `L${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("");

export const legend = (...names) => h("ul", { class: "legend" }, names.map(([text, kind]) => h("li", { class: kind }, text)));

/** Cumulative shares over time: what the plan wants, what was filled. Points are [ms, shares]. */
export function scheduleChart({ plan, earlier, fills, now, total }) {
  const all = [...plan, ...fills, ...(earlier ?? [])];
  if (!all.length) return h("p", { class: "quiet" }, "No plan.");
  const times = all.map(([at]) => at);
  if (fills.length) times.push(Math.min(now, Math.max(...plan.map(([at]) => at), fills.at(-1)[0])));
  const x = [Math.min(...times), Math.max(...times)];
  if (x[1] - x[0] < 60_000) x[1] = x[0] + 60_000;
  const y = [0, Math.max(total, ...all.map(([, value]) => value)) * 1.04 || 1];
  const filled = fills.length ? fills.at(-1)[1] : 0;
  const { svg, px, py } = frame(`Plan of ${shares(total)} shares; ${shares(filled)} filled so far`, x, y,
    { time: true, x: (at) => (x[1] - x[0] > 20 * 3_600_000 ? day(new Date(at)).slice(5) + " " : "") + clock(new Date(at)), y: compact, yTitle: "shares" });
  const draw = (points, kind, step = false) => points.length && svg.append(s("path", { class: kind, d: path(points, px, py, step) }));
  draw(earlier ?? [], "ghost");
  svg.append(s("path", { class: "area", d: `${path(plan, px, py)}L${px(plan.at(-1)[0])} ${py(0)}L${px(plan[0][0])} ${py(0)}Z` }));
  draw(plan, "one");
  if (fills.length) {
    const until = Math.max(fills.at(-1)[0], Math.min(now, x[1]));
    draw([[Math.min(plan[0][0], fills[0][0]), 0], ...fills, [until, filled]], "two", true);
  }
  if (now > x[0] && now < x[1]) svg.append(s("line", { class: "now", x1: px(now), x2: px(now), y1: py(y[0]), y2: MARGIN.top }));
  return h("figure", { class: "stack" }, svg,
    legend(["plan in force", ""], ...(fills.length ? [["filled", "two"]] : []), ...(earlier?.length ? [["first plan", "ghost"]] : [])));
}

/** As many digits as it has. */
const plain = (value) => number(value, Number.isInteger(Math.round(value * 1e6) / 1e6) ? 0 : Math.abs(value) < 1 ? 2 : 1);

export const compact = (value) => Math.abs(value) >= 1e6 ? `${number(value / 1e6, 1)}m` : Math.abs(value) >= 1e4 ? `${number(value / 1e3, 0)}k` : shares(value);

/** Cost against risk; the chosen point is ringed. `before` is another frontier to compare with. */
export function frontierChart(points, before = []) {
  if (!points?.length) return h("p", { class: "quiet" }, "No frontier.");
  const all = [...points, ...before];
  const x = spread(all.map((one) => one.standard_deviation_bps), 0.06), y = spread(all.map((one) => one.expected_cost_bps), 0.2);
  x[0] = Math.max(0, x[0]);
  const chosen = points.find((one) => one.chosen);
  const gist = chosen ? `chosen: ${chosen.strategy_name}, ${bps(chosen.expected_cost_bps)} at a deviation of ${bps(chosen.standard_deviation_bps)}` : "";
  const { svg, px, py } = frame(`Efficient frontier of ${points.length} points; ${gist}`, x, y,
    { x: plain, y: plain, xTitle: "standard deviation, bps", yTitle: "cost, bps" });
  const hull = (found) => found.filter((one, index) => !(one.chosen && isAbove(found, index)))
    .map((one) => [one.standard_deviation_bps, one.expected_cost_bps]);
  if (before.length > 1) svg.append(s("path", { class: "ghost", d: path(hull(before), px, py) }));
  svg.append(s("path", { class: "one", d: path(hull(points), px, py) }));
  for (const one of points) {
    svg.append(s("circle", { class: one.chosen ? "ring" : "dot", r: one.chosen ? 7 : 3.5, cx: px(one.standard_deviation_bps), cy: py(one.expected_cost_bps) },
      s("title", {}, `${one.strategy_name}, ${number(one.horizon_minutes, 0)} min: ${bps(one.expected_cost_bps)} ± ${bps(one.standard_deviation_bps)}`)));
  }
  if (chosen) {
    const right = px(chosen.standard_deviation_bps) > width() * 0.6;
    svg.append(s("text", { class: "strong", x: px(chosen.standard_deviation_bps) + (right ? -10 : 10), y: py(chosen.expected_cost_bps) + (right ? 19 : -9),
      "text-anchor": right ? "end" : "start" }, chosen.strategy_name));
  }
  return svg;
}

/** Whether the chosen point lies above its neighbours' line: it was appended, and is not of the hull. */
function isAbove(points, index) {
  const one = points[index], left = points[index - 1], right = points[index + 1];
  if (!left || !right) return false;
  const share = (one.standard_deviation_bps - left.standard_deviation_bps) / (right.standard_deviation_bps - left.standard_deviation_bps || 1);
  return one.expected_cost_bps > left.expected_cost_bps + share * (right.expected_cost_bps - left.expected_cost_bps) + 1e-6;
}

/** Parts that add up, each from where the one before ended. Parts: [name, bps, isSum]. */
export function waterfall(parts, label) {
  const wide = width(), row = 25, left = 128, right = 64, tall = parts.length * row + 6;
  let at = 0;
  const spans = parts.map(([name, value, isSum]) => {
    const span = isSum ? [0, value] : [at, at + value];
    at = span[1];
    return { name, value, isSum, low: Math.min(...span), high: Math.max(...span) };
  });
  const low = Math.min(0, ...spans.map((one) => one.low)), high = Math.max(0, ...spans.map((one) => one.high));
  const px = (value) => left + ((value - low) / (high - low || 1)) * (wide - left - right);
  return s("svg", { class: "chart", viewBox: `0 0 ${wide} ${tall}`, role: "img", "aria-label": label },
    s("line", { class: "axis", x1: px(0), x2: px(0), y1: 0, y2: tall }),
    spans.map((one, index) => [
      s("text", { class: one.isSum ? "strong" : null, x: left - 8, y: index * row + 18, "text-anchor": "end" }, one.name),
      s("rect", { class: one.isSum ? "fill-one" : one.value > 0 ? "fill-bad" : "fill-good", x: px(one.low), y: index * row + 6,
        width: Math.max(1, px(one.high) - px(one.low)), height: row - 9, rx: 2 }),
      s("text", { class: one.isSum ? "strong" : null, x: px(one.high) + 6, y: index * row + 18 }, number(one.value, 2)),
    ]));
}

/** Filled against due, in a table's cell. */
export function progressBar(filled, due) {
  const behind = due - filled > 0.1;
  return h("div", { class: "bar", "aria-hidden": "true" },
    s("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none" },
      s("rect", { class: behind ? "behind" : "done", width: Math.min(100, filled * 100), height: 8 }),
      due > 0 && s("rect", { class: "due", x: Math.min(98.5, due * 100), width: 1.5, height: 8 })));
}

/** A share of one, in a table's cell. */
export const shareBar = (share, largest) => h("div", { class: "bar", "aria-hidden": "true" },
  s("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none" }, s("rect", { class: "done", width: (share / (largest || 1)) * 100, height: 8 })));

/** Predicted cost against the actual one with its interval, a line each. */
export function predictedChart(lines) {
  const wide = width(), row = 26, left = wide < 400 ? 120 : wide < 500 ? 150 : 190, tall = lines.length * row + 40;
  const bounded = lines.filter((one) => one.avg_cost_lower > -1);
  const values = [0, ...lines.flatMap((one) => [one.avg_cost * 1e4, one.predicted_cost * 1e4]),
    ...bounded.flatMap((one) => [one.avg_cost_lower * 1e4, one.avg_cost_upper * 1e4])];
  const x = spread(values, 0.05);
  const px = (value) => left + ((value - x[0]) / (x[1] - x[0])) * (wide - left - 16);
  const y = (index) => index * row + 18;
  const clip = (text) => (text.length > left / 7 ? `${text.slice(0, Math.floor(left / 7) - 1)}…` : text);
  return h("figure", { class: "stack" },
    s("svg", { class: "chart", viewBox: `0 0 ${wide} ${tall}`, role: "img", "aria-label": `Predicted and actual cost of ${lines.length} lines, bps` },
      ticks(x[0], x[1], 6).map((value) => [
        s("line", { class: "grid-line", x1: px(value), x2: px(value), y1: 4, y2: tall - 32 }),
        s("text", { x: px(value), y: tall - 18, "text-anchor": "middle" }, number(value, 0)),
      ]),
      s("text", { x: wide - 14, y: tall - 3, "text-anchor": "end" }, "cost, bps"),
      lines.map((one, index) => [
        s("text", { x: left - 10, y: y(index) + 4, "text-anchor": "end" }, clip(one.label)),
        one.avg_cost_lower > -1 && s("line", { class: "two", x1: px(one.avg_cost_lower * 1e4), x2: px(one.avg_cost_upper * 1e4), y1: y(index), y2: y(index) }),
        s("circle", { class: "ring", r: 5, cx: px(one.avg_cost * 1e4), cy: y(index) }, s("title", {}, `${one.label}: actual ${bps(one.avg_cost * 1e4)}`)),
        s("rect", { class: "fill-one", x: px(one.predicted_cost * 1e4) - 2, y: y(index) - 8, width: 4, height: 16, rx: 1 },
          s("title", {}, `${one.label}: predicted ${bps(one.predicted_cost * 1e4)}, interval held ${percent(one.interval_coverage, 0)}`)),
      ])),
    legend(["predicted", ""], ["actual, with its 95 % bounds", "two"]));
}
