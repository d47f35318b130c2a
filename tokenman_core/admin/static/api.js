/** Talks to TokenMan's API: the token, single requests, and the stream of calls with its reconnects. */

const KEPT_AS = "tokenman-token";
const PATIENCE_MS = 15_000;
const SILENCE_MS = 45_000; // the server says something at least every 15 s
const LONGEST_WAIT_MS = 30_000;

/** The API said no: `status`, and a `message` for people. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  /** Whether a token was missing or wrong, so that signing in is the remedy. */
  get signedOut() {
    return this.status === 401 || this.status === 403;
  }
}

/** Nobody answered. */
export class Unreachable extends Error {
  constructor() {
    super("TokenMan does not answer. Is it running? `tokenman up` starts it.");
  }
}

/** The token of this tab. Never a cookie: those are shared by all ports of a host. */
export class Session {
  #token = "";

  constructor() {
    try {
      this.#token = sessionStorage.getItem(KEPT_AS) ?? "";
    } catch {
      // storage is switched off: the token lives as long as the page
    }
  }

  get present() {
    return this.#token !== "";
  }

  use(token) {
    this.#token = token;
    try {
      if (token) sessionStorage.setItem(KEPT_AS, token);
      else sessionStorage.removeItem(KEPT_AS);
    } catch {
      // as above
    }
  }

  /** Changes a one-time code for the token. */
  async redeem(code) {
    const body = JSON.stringify({ code });
    const answer = await reach("api/login", { method: "POST", headers: { "content-type": "application/json" }, body });
    this.use((await answer.json()).token);
  }

  async get(path, query = {}) {
    const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
    const tail = given.length ? `?${new URLSearchParams(given)}` : "";
    return (await reach(path + tail, { headers: this.headers })).json();
  }

  get headers() {
    // What cannot stand in a header cannot be a token either; fetch would throw over it.
    return { authorization: `Bearer ${/^[\x21-\x7e]+$/.test(this.#token) ? this.#token : "none"}` };
  }
}

/** fetch that throws Refused or Unreachable, and nothing else. */
async function reach(path, options) {
  const signal = options.signal ?? AbortSignal.timeout(PATIENCE_MS);
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", credentials: "omit", redirect: "error", ...options, signal });
  } catch {
    throw new Unreachable();
  }
  if (answer.ok) return answer;
  let message = `TokenMan answered ${answer.status}.`;
  try {
    message = (await answer.json()).error.message || message;
  } catch {
    // not the API's own words
  }
  throw new Refused(answer.status, message);
}

/** Follows `/api/events` until `signal` aborts or the token is refused (then it throws Refused).
 *
 * `told` has `open()`, `event(name, data)` and `waiting(why, milliseconds, wake)`: the line is down, and is tried again after
 * so long or when `wake` is called.
 */
export async function follow(session, told, signal) {
  let last = "";
  let failures = 0;
  while (!signal.aborted) {
    let why = new Unreachable();
    try {
      for await (const event of listen(session, last, signal, told.open)) {
        failures = 0;
        last = event.id || last;
        if (event.data) told.event(event.name, JSON.parse(event.data));
      }
    } catch (error) {
      if (error.signedOut) throw error;
      if (error instanceof Refused) why = error;
    }
    if (signal.aborted) return;
    const wait = Math.min(LONGEST_WAIT_MS, 1000 * 2 ** failures++) * (0.75 + Math.random() / 4);
    await new Promise((resolve) => {
      const timer = setTimeout(done, wait);
      function done() {
        clearTimeout(timer);
        removeEventListener("online", done);
        signal.removeEventListener("abort", done);
        resolve();
      }
      addEventListener("online", done);
      signal.addEventListener("abort", done);
      told.waiting(why, wait, done);
    });
  }
}

/** EventSource cannot send the token's header, so the stream is read by hand (WHATWG HTML, 9.2.6). */
async function* listen(session, last, signal, open) {
  const line = new AbortController();
  const both = AbortSignal.any([signal, line.signal]);
  let watchdog = setTimeout(() => line.abort(), SILENCE_MS);
  try {
    const headers = { ...session.headers, accept: "text/event-stream" };
    if (last) headers["last-event-id"] = last;
    const answer = await reach("api/events", { headers, signal: both });
    open();
    const text = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    let event = { id: "", name: "message", data: "" };
    for (let piece = await text.read(); !piece.done; piece = await text.read()) {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => line.abort(), SILENCE_MS);
      const lines = (rest + piece.value).split("\n");
      rest = lines.pop();
      for (const each of lines) {
        const said = each.endsWith("\r") ? each.slice(0, -1) : each;
        if (said === "") {
          yield event;
          event = { id: "", name: "message", data: "" };
        } else {
          read(event, said);
        }
      }
    }
  } finally {
    clearTimeout(watchdog);
    line.abort();
  }
}

function read(event, line) {
  const colon = line.indexOf(":");
  const field = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
  if (field === "data") event.data += (event.data && "\n") + value;
  else if (field === "event") event.name = value;
  else if (field === "id") event.id = value;
}
