// Numbers and times as a desk reads them. Units stand with the figures.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const fixed = [0, 1, 2, 3, 4].map((digits) =>
  new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
const MINUS = "−";
// Between a figure and its unit no line ends.
const SPACE = "\u00a0";
// A figure that rounds to nothing has no sign.
const minus = (text) => (/[1-9]/.test(text) ? text.replace("-", MINUS) : text.replace("-", ""));

export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
export const number = (value, digits = 2) => (isNumber(value) ? minus(fixed[digits].format(value)) : "–");
export const signed = (value, digits = 2) => (isNumber(value) && value > 0 ? "+" : "") + number(value, digits);
export const shares = (value) => (isNumber(value) ? minus(whole.format(value)) : "–");
export const percent = (value, digits = 1) => (isNumber(value) ? `${number(value * 100, digits)}${SPACE}%` : "–");
export const bps = (value, digits = 2) => (isNumber(value) ? `${number(value, digits)}${SPACE}bps` : "–");
export const price = (value) => (isNumber(value) && value > 0 ? number(value, value < 10 ? 4 : 2) : "–");
export const minutes = (value) => (!isNumber(value) ? "–" : value < 90 ? `${number(value, 0)}${SPACE}min` : `${number(value / 60, 1)}${SPACE}h`);
export const words = (name) => (name ?? "").toLowerCase().replaceAll("_", " ");
export const title = (name) => words(name).replace(/^./, (first) => first.toUpperCase());
export const known = (name) => (name && name !== "UNSPECIFIED" ? name : "");
export const short = (hash) => (hash ? hash.slice(0, 12) : "–");
export const date = (text) => (text ? new Date(text) : null);

const two = (value) => String(value).padStart(2, "0");
export const clock = (at, seconds = false) =>
  at ? `${two(at.getHours())}:${two(at.getMinutes())}${seconds ? `:${two(at.getSeconds())}` : ""}` : "–";
export const day = (at) => (at ? `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}` : "–");
export const moment = (at) => (at ? `${day(at)} ${clock(at, true)}` : "–");

export function ago(at, now = Date.now()) {
  if (!at) return "–";
  const past = Math.max(0, (now - at.getTime()) / 1000);
  if (past < 60) return `${Math.round(past)} s ago`;
  if (past < 5400) return `${Math.round(past / 60)} min ago`;
  if (past < 172800) return `${Math.round(past / 3600)} h ago`;
  return day(at);
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let step = 0;
  while (value >= 1024 && step < units.length - 1) [value, step] = [value / 1024, step + 1];
  return `${number(value, step && value < 100 ? 1 : 0)} ${units[step]}`;
}

export function seconds(value) {
  if (!isNumber(value)) return "–";
  if (value === 0) return "0 s";
  if (value < 1e-3) return `${number(value * 1e6, 0)} µs`;
  if (value < 1) return `${number(value * 1e3, 1)} ms`;
  return value < 120 ? `${number(value, 1)} s` : value < 7200 ? `${number(value / 60, 1)} min` : `${number(value / 3600, 1)} h`;
}

export const TONES = {
  BUY: "buy", SELL: "sell", SELL_SHORT: "sell", WORKING: "good", RECOMMENDED: "info", PAUSED: "warn", HALTED: "bad",
  COMPLETED: "calm", CANCELLED: "calm", EXPIRED: "calm", KEEP: "calm", RETUNE: "info", SWITCH: "warn", PAUSE: "warn",
  STOP: "bad",
};
