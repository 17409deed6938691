// The frame: which view is shown, the one stream of orders, and how the connection is.
import { api, OrderFeed, SIGN_IN } from "./api.js";
import { drawing } from "./charts.js";
import { h, problem, replace, say } from "./dom.js";
import { title } from "./format.js";
import { subject } from "./controls.js";
import * as orders from "./orders.js";

const VIEWS = {
  orders: async () => orders, order: () => import("./order.js"), "what-if": () => import("./what-if.js"),
  performance: () => import("./performance.js"), models: () => import("./models.js"), health: () => import("./health.js"),
  "sign-in": () => import("./sign-in.js"),
};
const STATES = {
  live: "Live", wait: "Reconnecting…", away: "Service away, reconnecting…", out: "Not signed in",
};
const MOST_LINES = 2_000;
const main = document.getElementById("main");
const link = document.getElementById("link");
const halted = document.getElementById("halted");
const out = document.getElementById("sign-out");

/** What views share: the newest line of every order, and who wants to hear of it. */
export const desk = {
  lines: new Map(), listeners: new Set(), state: "wait", asked: false, primed: false, controls: null,
  listen(take, signal) {
    this.listeners.add(take);
    signal.addEventListener("abort", () => this.listeners.delete(take));
  },
  /** Another reader now: what the one before saw is forgotten. */
  signedIn(is) {
    out.hidden = !is;
    this.lines.clear();
    this.controls = null;
    halted.hidden = true;
    if (!is) return signedOut();
    onState("wait");
    this.feed.restart();
  },
};

function onLines(lines, isNewJournal) {
  if (isNewJournal) desk.lines.clear();
  // What was there before is no news.
  if (!desk.primed) setTimeout(() => { desk.primed = true; }, 1_000);
  for (const line of lines) {
    const before = desk.lines.get(line.order_id);
    // The map keeps the order of insertion: the first is the one that did not change for longest.
    desk.lines.delete(line.order_id);
    desk.lines.set(line.order_id, line);
    if (desk.lines.size > MOST_LINES) desk.lines.delete(desk.lines.keys().next().value);
    if (before && Number(line.advice_number) > Number(before.advice_number)) {
      say(`Advice for ${line.order_id}: ${title(line.action)}. ${line.strategy_name}.`);
    }
  }
  for (const take of desk.listeners) take(lines, desk.state);
}

function onState(state, reason) {
  const asked = desk.asked;
  desk.asked = true;
  if (state === desk.state && asked) return;
  desk.state = state;
  link.dataset.state = state;
  link.textContent = STATES[state];
  link.title = reason ?? "";
  for (const take of desk.listeners) take([], state);
}

function onControls(found) {
  const before = new Set((desk.controls?.halts ?? []).map((one) => one.halt_id));
  const ended = desk.controls?.halts.length > 0 && !found.halts.length;
  const begun = desk.controls ? found.halts.filter((one) => !before.has(one.halt_id)) : [];
  desk.controls = found;
  halted.hidden = found.known && !found.halts.length;
  halted.textContent = !found.known ? "Halts unknown" : found.halts.length === 1 ? `Halted: ${subject(found.halts[0])}` : `${found.halts.length} halts`;
  for (const one of begun) say(`Halted: ${subject(one)}, by ${one.actor}. ${one.reason}`);
  if (ended) say("No halt is in force any more.");
  for (const take of desk.listeners) take([], desk.state);
}

let leave = new AbortController();
let first = true;

async function show() {
  const [, name = "orders", rest = ""] = location.hash.match(/^#\/([a-z-]+)\/?(.*)$/) ?? [];
  const view = name in VIEWS ? name : "orders";
  if (desk.state === "out" && view !== "sign-in") { signedOut(); return; }
  const [path, query = ""] = rest.split("?");
  for (const one of document.querySelectorAll("#views a")) {
    const own = one.getAttribute("href") === `#/${view}` || (view === "order" && one.getAttribute("href") === "#/orders");
    if (own) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  }
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  try {
    drawing.wide = 660;
    const made = await VIEWS[view]();
    if (signal.aborted) return;
    const found = await made.show({ main, signal, desk, argument: decode(path), query: new URLSearchParams(query) });
    if (!signal.aborted && found) replace(main, found);
  } catch (error) {
    if (error.name !== "AbortError" && !signal.aborted) replace(main, h("h1", {}, title(view)), problem(error));
  }
  if (signal.aborted) return;
  document.title = `${main.querySelector("h1")?.textContent ?? "Console"} · Execution strategy`;
  // Whoever reads by ear, or by keyboard, is brought to the new view.
  if (!first) { main.focus({ preventScroll: true }); globalThis.scrollTo(0, 0); }
  first = false;
}

function decode(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

/** Nothing more is asked until somebody signs in; then the view that was wanted is shown. */
function signedOut(to = location.hash || "#/orders") {
  out.hidden = true;
  desk.feed.close();
  onState("out");
  if (!location.hash.startsWith("#/sign-in")) location.hash = `#/sign-in?to=${encodeURIComponent(to)}`;
}

addEventListener(SIGN_IN, () => signedOut());
out.addEventListener("click", async () => {
  try { await api.signOut(); } catch (error) { say(error.message); return; }
  desk.signedIn(false);
});
addEventListener("hashchange", show);
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
onState("wait");
link.textContent = "Connecting…";
desk.feed = new OrderFeed(onLines, onState, onControls);
api.session().then((found) => { out.hidden = !found.signed_in; }).catch(() => {});
show();
