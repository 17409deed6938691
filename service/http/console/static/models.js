// What decisions are made from: artifacts by their hashes, their quality report, and the catalogue.
import { badge, folded, h, panel, table } from "./dom.js";
import { number, percent, short, title, words } from "./format.js";
import { api } from "./api.js";
import { markdown } from "./markdown.js";

export async function show({ signal }) {
  const found = await api.service(signal);
  return [
    h("div", { class: "head" }, h("h1", {}, "Models"), h("p", { class: "quiet" }, `engine ${found.versions.engine}, build `, h("code", {}, short(found.build_sha256)))),
    h("div", { class: "grid loose" }, (found.artifacts ?? []).map(artifact), catalogue(found.catalogue ?? [])),
  ];
}

function artifact(one) {
  const files = Object.entries(one.files ?? {}).sort();
  return panel(`In use: ${one.kind}`, { class: "half" },
    h("p", {}, badge("active", "good"), " ", h("code", {}, one.manifest_sha256)),
    h("p", { class: "quiet" }, `Made by ${one.created_by || "an unknown command"}; ${number(files.length, 0)} file${files.length === 1 ? "" : "s"}, each checked against its hash at the start.`),
    one.card && h("div", { class: "prose" }, markdown(one.card)),
    one.evaluation_json && folded("Evaluation", table("Evaluation", [["Figure", ([name]) => name], ["Value", ([, value]) => value, { number: true }]], figures(one.evaluation_json))),
    folded("Files and hashes", table(`Files of ${one.kind}`, [["File", ([name]) => h("code", {}, name)], ["SHA-256", ([, hash]) => h("code", { title: hash }, short(hash)), { number: true }]], files)));
}

/** Leaves of the evaluation as lines. */
function figures(text) {
  const lines = [];
  const walk = (value, name) => {
    if (value && typeof value === "object") for (const [key, inner] of Object.entries(value)) walk(inner, name ? `${name}: ${words(key)}` : words(key));
    else lines.push([name, typeof value === "number" ? number(value, Number.isInteger(value) ? 0 : 4) : String(value)]);
  };
  try { walk(JSON.parse(text), ""); } catch { lines.push(["not readable", ""]); }
  return lines;
}

function range(one) {
  const shown = (value) => (one.unit === "fraction" ? percent(value, 0) : number(value, Number.isInteger(value) ? 0 : 2));
  return one.minimum === one.maximum ? shown(one.minimum) : `${shown(one.minimum)} to ${shown(one.maximum)}${one.unit === "fraction" ? "" : ` ${one.unit}`}`;
}

function catalogue(entries) {
  return panel("Catalogue", { hint: "Algorithms that decisions choose from." }, table("Catalogue", [
    ["Algorithm", (one) => h("span", {}, h("strong", {}, one.strategy_name), h("br"), h("code", {}, one.algorithm))],
    ["Kind", (one) => title(one.strategy_type)],
    ["What it does", (one) => one.description],
    ["FIX 847", (one) => String(one.target_strategy), { number: true }],
    ["Candidates", (one) => (one.candidates ? number(one.candidates, 0) : badge("off", "warn")), { number: true }],
    ["Parameters", (one) => (one.parameters ?? []).map((each, index) => [index ? h("br") : "", h("span", { title: each.meaning }, `${words(each.name)} ${range(each)}`)])],
  ], entries));
}
