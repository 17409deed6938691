// The service's calls, and the stream of orders. Nothing else of this page talks to the network.

const BASE = "/api/v1/execution-strategy";
const SESSION = "/api/v1/console/session";
// The second is what no other site can make a browser send: with a cookie, changes need it.
const HEADERS = { accept: "application/json", "x-console": "1" };

export class Refusal extends Error {
  constructor(found, status) {
    super(found.detail ?? `HTTP ${status}`);
    this.title = found.title;
    this.code = found.code;
    this.status = status;
    this.violations = found.violations ?? [];
  }
}

/** Heard by the frame: the service wants to know who is asking. */
export const SIGN_IN = "sign-in-needed";

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path.startsWith("/api/") ? path : BASE + path, { ...options, headers: { ...HEADERS, ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal({ title: "No connection", detail: "The service cannot be reached now." }, 0);
  }
  const found = await answer.json().catch(() => ({}));
  if (answer.status === 401 && path !== SESSION) dispatchEvent(new Event(SIGN_IN));
  if (!answer.ok) throw new Refusal(found, answer.status);
  return found;
}

const post = (path, body, signal) =>
  ask(path, { method: "POST", body: JSON.stringify(body), signal, headers: { "content-type": "application/json" } });
const order = (id) => `/${encodeURIComponent(id)}`;

export const api = {
  orders: (signal) => ask("/orders?page_size=100", { signal }),
  status: (id, signal) => ask(`${order(id)}/status`, { signal }),
  history: (id, signal) => ask(`${order(id)}/history`, { signal }),
  instruments: () => ask("/instruments"),
  service: (signal) => ask("/service", { signal }),
  replay: (selection) => ask(`/selections/${encodeURIComponent(selection)}/replay`),
  recommend: (body, signal) => post("/recommend", body, signal),
  performance: (start, end, signal) => ask(`/performance?start_date=${start}&end_date=${end}`, { signal }),
  session: () => ask(SESSION),
  signIn: (token) => post(SESSION, { token }),
  signOut: () => ask(SESSION, { method: "DELETE" }),
  ready: async () => (await fetch("/readyz")).json(),
};

const SILENCE_MS = 25_000;
const AGAIN_MS = 1_000;

/** Follows orders for ever: told of lines (and whether they are of another journal than those before), of what is halted
 *  and limited, and of how the connection is ("live", "away", "wait"). */
export class OrderFeed {
  constructor(onLines, onState, onControls) {
    this.onLines = onLines;
    this.onControls = onControls;
    this.onState = onState;
    this.place = "";
    this.open();
    // A browser has six connections to a host for all its tabs: one that nobody sees gives its own back.
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", (event) => event.persisted && this.open());
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
  }

  /** As from the beginning, for another reader. */
  restart() {
    [this.place, this.journal] = ["", undefined];
    this.open();
  }

  close() {
    this.source?.close();
    clearTimeout(this.timer);
  }

  open() {
    this.close();
    const place = this.place ? `?last_event_id=${encodeURIComponent(this.place)}` : "";
    this.source = new EventSource(`/api/v1/console/orders/stream${place}`);
    const heard = (name, take) => this.source.addEventListener(name, (event) => {
      this.alive();
      take(JSON.parse(event.data), event);
    });
    heard("hello", (found) => this.onState(found.away ? "away" : "live", found.away));
    heard("service", (found) => this.onState(found.away ? "away" : "live", found.away));
    heard("beat", () => {});
    heard("controls", (found) => this.onControls(found));
    heard("orders", (found, event) => {
      const journal = event.lastEventId.replace(/:[^:]*$/, "");
      const isNew = journal !== this.journal;
      [this.place, this.journal] = [event.lastEventId, journal];
      this.onLines(found.orders, isNew);
    });
    this.source.onerror = () => {
      this.onState("wait", "");
      // A browser gives up where the answer was no stream; the page does not. Why there was none it does not say.
      if (this.source.readyState === EventSource.CLOSED) {
        this.again();
        api.session().then((found) => { if (found.needed) dispatchEvent(new Event(SIGN_IN)); }).catch(() => {});
      }
    };
    this.alive();
  }

  alive() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { this.onState("wait", ""); this.again(); }, SILENCE_MS);
  }

  again() {
    this.close();
    this.timer = setTimeout(() => this.open(), AGAIN_MS);
  }
}
