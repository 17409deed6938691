// How the service is: ready or not, what is halted and limited, what waits for disk and database, calls and their times.
import { folded, h, panel, problem, replace, table, tile } from "./dom.js";
import { ago, bytes, date, moment, number, percent, seconds, short } from "./format.js";
import { api } from "./api.js";
import { haltsPanel, limitsPanel, summary } from "./controls.js";

const REFRESH_MS = 5_000;
const LAGGING_S = 5;

const shown = (unit, value) => unit === "By" ? bytes(value) : unit === "s" ? seconds(value) : number(value, Number.isInteger(value) ? 0 : 3);

export async function show({ signal, desk }) {
  const controls = h("div", { class: "grid loose", id: "controls" }), body = h("div", { class: "stack" });
  let latest = null, drawn = null;
  function draw() {
    const open = [...body.querySelectorAll("details")].map((one) => one.open);
    const [service, ready] = latest;
    replace(body, service.error && problem(service.error), view(service, ready, desk.controls, controls));
    [...body.querySelectorAll("details")].forEach((one, index) => { one.open = open[index] ?? false; });
  }
  function drawControls() {
    if (drawn === desk.controls && controls.firstChild) return;
    drawn = desk.controls;
    replace(controls, haltsPanel(drawn), limitsPanel(drawn));
    if (latest) draw();
  }
  async function load() {
    const found = await Promise.all([api.service(signal).catch((error) => ({ error })), api.ready().catch(() => ({ ready: false, services: {} }))]);
    if (signal.aborted) return;
    latest = found;
    draw();
  }
  drawControls();
  desk.listen(drawControls, signal);
  await load();
  const timer = setInterval(() => { if (!document.hidden) load(); }, REFRESH_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  return [h("div", { class: "head" }, h("h1", {}, "Health"), h("p", { class: "quiet" }, "looked at every 5 seconds; halts and limits as they change")), body];
}

function view(service, ready, controls, panels) {
  const figure = Object.fromEntries((service.figures ?? []).map((one) => [one.name, one.value]));
  const used = figure["ess.journal.used"], limit = figure["ess.journal.limit"], lag = figure["ess.drain.lag"], aside = figure["ess.drain.set_aside"];
  const serving = Object.values(ready.services).map((one) => one.toLowerCase().replaceAll("_", " ")).join(", ");
  const tiles = [tile("Ready", ready.ready ? "yes" : "no", serving, ready.ready ? "good" : "bad"), tile("New orders", ...summary(controls))];
  if (service.error) return [h("dl", { class: "tiles" }, tiles), panels];
  const versions = service.versions;
  return [
    h("dl", { class: "tiles" }, tiles,
      tile("Records", service.keeper_condition.toLowerCase(), service.keeper_reason || "are taken", service.keeper_condition === "READY" ? "good" : "bad"),
      used !== undefined && tile("Journal waiting", bytes(used), `${percent(used / limit)} of ${bytes(limit)}`, used / limit > 0.8 ? "bad" : null),
      lag !== undefined && tile("Drain lag", seconds(lag), `${number(figure["ess.drain.pending"], 0)} entries wait`, lag > LAGGING_S ? "warn" : null),
      aside !== undefined && tile("Set aside", number(aside, 0), "entries PostgreSQL refuses", aside ? "bad" : null),
      figure["ess.relay.behind"] !== undefined && tile("Outbox waiting", number(figure["ess.relay.behind"], 0), `events; the oldest ${seconds(figure["ess.relay.lag"])}`),
      tile("Workers", number(service.workers, 0), `worker ${service.worker_index} answered`),
      tile("Up since", ago(date(service.started_at)), moment(date(service.started_at)))),
    panels,
    h("div", { class: "grid loose" },
      panel(`Calls of worker ${service.worker_index}`, { class: "half" }, table("Calls", [
        ["Call", (one) => one.method], ["Count", (one) => number(Number(one.count), 0), { number: true }],
        ["Refused", (one) => number(Number(one.refused), 0), { number: true }],
        ["Median", (one) => seconds(one.median_seconds), { number: true }], ["p99", (one) => seconds(one.p99_seconds), { number: true }],
      ], service.calls ?? [])),
      panel("Versions", { class: "half" }, table("Versions", [["What", ([name]) => name], ["Which", ([, value]) => h("span", { class: "mono" }, value), { number: true }]], [
        ["host", service.host_id], ["environment", service.environment], ["acknowledgement", service.acknowledgement.toLowerCase()], ["engine", versions.engine],
        ["build", short(service.build_sha256)], ["surfaces", short(versions.surfaces_sha256)], ["models", short(versions.models_sha256)], ["utility table", short(versions.utility_sha256)],
      ])),
      panel("Figures", {}, folded("Everything that telemetry exports", table("Figures", [
        ["Name", (one) => h("code", {}, one.name)], ["What it is", (one) => one.description], ["Value", (one) => shown(one.unit, one.value), { number: true }], ["Unit", (one) => one.unit],
      ], service.figures ?? [])))),
  ];
}
