// What is halted and limited, in words and tables. Only to be read: who may halt does it with `ess` or over gRPC.
import { badge, h, panel, table } from "./dom.js";
import { ago, date, isNumber, moment, number, percent, shares, words } from "./format.js";

const MOST_NAMED = 6;
const ORDER = ["FIRM", "DESK", "STRATEGY", "INSTRUMENT"];

/** What a halt or a limit is about: "the firm", "instrument AIG". */
export const subject = (one) => (one.scope === "FIRM" ? "the firm" : `${words(one.scope)} ${one.subject}`);

const some = (names) => names.length > MOST_NAMED ? `${names.slice(0, MOST_NAMED).join(", ")} and ${names.length - MOST_NAMED} more` : names.join(", ");

function bounds(one) {
  return [
    isNumber(one.max_quantity) && ["Shares an order", shares(one.max_quantity)],
    isNumber(one.max_notional) && ["Notional an order", number(one.max_notional, 0)],
    isNumber(one.max_participation_rate) && ["Of volume", percent(one.max_participation_rate)],
    isNumber(one.price_collar_bps) && ["From the mid", `${number(one.price_collar_bps, 0)} bps`],
    isNumber(one.max_messages_per_second) && ["Requests a second", number(one.max_messages_per_second, one.max_messages_per_second < 1 ? 2 : 0)],
    isNumber(one.max_repeats_per_minute) && ["Orders alike a minute", number(one.max_repeats_per_minute, 0)],
    one.allowed_instruments.length > 0 && ["Instruments", some(one.allowed_instruments)],
    one.allowed_venues.length > 0 && ["Venues", some(one.allowed_venues)],
  ].filter(Boolean);
}

/** For the tiles of the health view: [value, detail, tone]. */
export function summary(controls) {
  if (!controls) return ["–", "not known yet", null];
  if (!controls.known) return ["refused", "nobody can say now what is halted", "bad"];
  if (controls.halts.some((one) => one.scope === "FIRM")) return ["halted", "the whole firm", "bad"];
  if (controls.halts.length) return ["halted in part", controls.halts.map(subject).slice(0, 3).join(", "), "warn"];
  return ["answered", "nothing is halted", "good"];
}

export function haltsPanel(controls) {
  const halts = controls?.halts ?? [];
  const what = "New orders for these are refused, and open Adapt streams have been told to stop.";
  return panel("Halts", { class: "two-thirds", hint: halts.length ? what : null },
    halts.length ? table("Halts in force", [
      ["What", (one) => badge(subject(one), "bad")],
      ["Since", (one) => h("time", { class: "line", datetime: one.created_at, title: ago(date(one.created_at)) }, moment(date(one.created_at)))],
      ["By", (one) => one.actor],
      ["Why, and the id that a resume wants", (one) => [one.reason, h("small", { class: "mono" }, one.halt_id)], { class: "advice" }],
    ], halts, { class: "cards" }) : h("p", { class: "quiet" }, !controls ? "Not known yet." : controls.known ? "Nothing is halted." : "Nobody can say now what is halted: no new order is answered."),
    hostsLine(controls?.hosts));
}

/** Which hosts hold to all that is in force. */
function hostsLine(hosts) {
  if (!hosts?.length) return null;
  const sure = hosts.filter((one) => one.confirmed).map((one) => one.host_id), open = hosts.filter((one) => !one.confirmed);
  return [
    sure.length > 0 && h("p", { class: "quiet" }, `Confirmed by ${some(sure)}.`),
    open.map((one) => h("p", { class: "note warn" }, `Not confirmed by ${one.host_id}`,
      one.lease_expires_at ? `; it stops by itself at ${moment(date(one.lease_expires_at))} unless it hears of them.` : "; it goes on until it hears of them.")),
  ];
}

export function limitsPanel(controls) {
  const limits = [...(controls?.limits ?? [])].sort((one, other) => ORDER.indexOf(one.scope) - ORDER.indexOf(other.scope));
  const lines = limits.flatMap((one) => bounds(one).map(([name, value], index) => ({ about: index ? "" : subject(one), name, value })));
  return panel("Hard limits", { class: "third", hint: limits.length ? "Of all that apply to an order the strictest holds." : null },
    limits.length ? table("Hard limits in force", [
      ["For", (one) => one.about], ["Limit", (one) => one.name], ["At most", (one) => one.value, { number: true }],
    ], lines) : h("p", { class: "quiet" }, controls ? "No hard limit is set." : "Not known yet."));
}
