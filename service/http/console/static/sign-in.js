// Signing in: the token goes to the service once, and stays in no place that a script can read.
import { h, panel, problem, replace } from "./dom.js";
import { api } from "./api.js";

export function show({ signal, desk, query }) {
  const told = h("div", { id: "sign-in-problem" });
  const token = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true, autofocus: true, "aria-describedby": "token-hint" });
  const button = h("button", { class: "main", type: "submit" }, "Sign in");
  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    try {
      await api.signIn(token.value.trim());
    } catch (error) {
      if (signal.aborted) return;
      button.disabled = false;
      token.setAttribute("aria-invalid", "true");
      replace(told, problem(error.status === 401 ? { title: "Not signed in", message: "The service does not know this token." } : error));
      token.focus();
      return;
    }
    token.value = "";
    desk.signedIn(true);
    const to = query.get("to") ?? "";
    location.hash = to.startsWith("#/") && !to.startsWith("#/sign-in") ? to : "#/orders";
  }
  return [h("div", { class: "head" }, h("h1", {}, "Sign in")),
    panel("Access token", { class: "narrow" },
      h("form", { class: "form", method: "post", onsubmit: submit },
        h("p", { id: "token-hint", class: "quiet" }, "Whoever runs this service gives out tokens. Yours is checked now, and kept by the service, not by this browser, until you sign out."),
        h("div", { class: "field" }, h("label", { for: "token" }, "Token"), token),
        told, h("div", {}, button)))];
}
