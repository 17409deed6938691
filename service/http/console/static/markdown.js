// The little Markdown that model cards use, as elements: headings, lists, paragraphs, bold and code. Nothing is markup.
import { h } from "./dom.js";

const inline = (text) => text.split(/(\*\*[^*]+\*\*|`[^`]+`)/).map((part) =>
  part.startsWith("**") ? h("strong", {}, part.slice(2, -2)) : part.startsWith("`") && part.length > 1 ? h("code", {}, part.slice(1, -1)) : part);

export function markdown(text) {
  return text.split(/\n{2,}/).map((block) => {
    const lines = block.trim().split("\n").filter(Boolean);
    if (!lines.length) return null;
    if (lines[0].startsWith("#")) return h("h3", {}, lines[0].replace(/^#+\s*/, ""));
    if (lines.every((line) => line.startsWith("- "))) return h("ul", {}, lines.map((line) => h("li", {}, inline(line.slice(2)))));
    return h("p", {}, inline(lines.join(" ")));
  });
}
