/** The feed of calls: a page of the newest, live ones on top as they end, older ones on demand, all through one filter. */

import { by, copier, el } from "./dom.js";
import * as words from "./words.js";

const PAGE = 50;
const MOST = 500; // rows in the page while calls come in: then it begins anew with the newest
const TYPING_MS = 250;
const RECENT = 50; // live rows that may not be in the ledger yet when a page of it is read

const STATUSES = [
  ["", "Any status"],
  ["2xx", "2xx answered"],
  ["error", "Errors"],
  ["4xx", "4xx refused"],
  ["429", "429 slow down"],
  ["5xx", "5xx failed"],
];

export class Feed {
  #session;
  #open;
  #problem;
  #rows = new Map(); // id -> <tr>
  #recent = [];
  #next = null;
  #paused = false;
  #waiting = [];
  #asked = 0;

  /** `open(id, from, row)` shows a call, for which the button `from` was pressed.
   *
   * `problem(error)` tells what went wrong, null when it went well.
   */
  constructor(session, { open, problem }) {
    this.#session = session;
    this.#open = open;
    this.#problem = problem;
    by("filter-status").append(...STATUSES.map(([value, text]) => el("option", { value }, text)));
    let typing = 0;
    by("filters").addEventListener("submit", (event) => event.preventDefault());
    by("filters").addEventListener("input", () => {
      clearTimeout(typing);
      by("older").disabled = true; // what follows is another list
      typing = setTimeout(() => this.load(), TYPING_MS);
    });
    by("pause").addEventListener("click", () => this.#pause(!this.#paused));
    by("older").addEventListener("click", () => this.#older());
  }

  get #filter() {
    return {
      q: by("filter-text").value.trim(),
      provider: by("filter-provider").value,
      status: by("filter-status").value,
    };
  }

  /** Shows the newest calls anew. */
  async load() {
    const asked = ++this.#asked;
    by("older").disabled = true;
    try {
      const page = await this.#session.get("api/requests", { limit: PAGE, ...this.#filter });
      if (asked !== this.#asked) return; // a later filter has been typed
      this.#waiting = [];
      this.#rows.clear();
      by("rows").replaceChildren();
      this.#append(page);
      const oldest = page.next ? page.items.at(-1).time : "";
      for (const row of this.#recent) if (row.time > oldest && this.#admits(row)) this.#place(row);
      this.#problem(null);
    } catch (error) {
      this.#problem(error);
    }
    if (asked === this.#asked) by("older").disabled = false;
    this.#settle();
  }

  /** Forgets all calls, as when one signs out. */
  clear() {
    this.#asked++;
    this.#recent = this.#waiting = [];
    this.#rows.clear();
    by("rows").replaceChildren();
  }

  async #older() {
    const asked = ++this.#asked;
    by("older").disabled = true;
    try {
      const page = await this.#session.get("api/requests", { limit: PAGE, before: this.#next, ...this.#filter });
      if (asked === this.#asked) this.#append(page);
    } catch (error) {
      this.#problem(error);
    }
    if (asked === this.#asked) by("older").disabled = false;
    this.#settle();
  }

  #append({ items, next }) {
    for (const row of items) {
      if (this.#rows.has(row.id)) continue;
      const line = this.#line(row);
      this.#rows.set(row.id, line);
      by("rows").append(line);
      this.#know(row.provider);
    }
    this.#next = next;
  }

  /** Puts a row where its time belongs. */
  #place(row) {
    if (this.#rows.has(row.id)) return;
    const line = this.#line(row);
    this.#rows.set(row.id, line);
    const older = [...by("rows").children].find((other) => other.dataset.time < row.time);
    by("rows").insertBefore(line, older ?? null);
  }

  /** A call has just ended. */
  live(row) {
    this.#know(row.provider);
    this.#recent = [...this.#recent, row].slice(-RECENT);
    if (!this.#admits(row) || this.#rows.has(row.id)) return;
    if (this.#paused) {
      this.#waiting.push(row);
      if (this.#waiting.length > MOST) this.#waiting.shift();
    } else {
      this.#prepend(row);
    }
    this.#settle();
  }

  #prepend(row) {
    const line = this.#line(row);
    line.classList.add("new");
    this.#rows.set(row.id, line);
    by("rows").prepend(line);
    if (this.#rows.size > MOST) this.load();
  }

  /** The same judgement as the server's for a page of calls. */
  #admits(row) {
    const { q, provider, status } = this.#filter;
    const low = q.toLowerCase();
    const named = [row.model, row.project, row.client].some((name) => name.toLowerCase().includes(low));
    const id = row.id.startsWith(`req_${low.replace(/^req_/, "")}`);
    const among = status.endsWith("xx") ? String(row.status).startsWith(status[0]) : String(row.status) === status;
    return (
      (!q || named || id) &&
      (!provider || row.provider === provider) &&
      (!status || among || (status === "error" && row.error))
    );
  }

  #know(provider) {
    const select = by("filter-provider");
    if (!provider || [...select.options].some((option) => option.value === provider)) return;
    select.append(el("option", { value: provider }, provider));
  }

  #pause(paused) {
    this.#paused = paused;
    by("pause").setAttribute("aria-pressed", String(paused));
    if (!paused) {
      for (const row of this.#waiting) this.#prepend(row);
      this.#waiting = [];
    }
    this.#settle();
  }

  #settle() {
    const waiting = this.#waiting.length;
    by("pause").textContent = this.#paused
      ? waiting
        ? `Resume · ${words.plural(waiting, "new call")}`
        : "Resume"
      : "Pause";
    by("older").hidden = !this.#next;
    const none = this.#rows.size === 0;
    by("calls").hidden = none;
    by("empty").hidden = !none;
    if (none) by("empty").replaceChildren(...(Object.values(this.#filter).some(Boolean) ? NO_MATCH() : NO_CALLS()));
  }

  #line(row) {
    const program = row.client || row.project || "";
    const { tone, text, reason } = words.outcome(row);
    const cell = (name, properties, ...children) => el("td", { role: "cell", class: name, ...properties }, ...children);
    const open = el("button", { type: "button", class: "open", "aria-haspopup": "dialog" }, words.moment(row.time));
    open.setAttribute("aria-label", `${words.moment(row.time)}, ${row.model || "a call"}: details`);
    const line = el(
      "tr",
      { role: "row", "data-id": row.id, "data-time": row.time },
      cell("time", { title: words.moments(row.time) }, open),
      cell(
        "program",
        {},
        program ? el("span", {}, program) : none(),
        row.client && row.project ? el("small", {}, row.project) : null,
      ),
      cell("model", {}, row.model ? el("span", {}, row.model) : none(), el("small", {}, row.provider)),
      cell("status", {}, el("span", { class: `pill ${tone}` }, text), reason ? el("small", {}, reason) : null),
      cell("masked", {}, ...masked(row)),
      cell("number tokens", { title: tokenTitle(row) }, ...tokens(row)),
      cell("number cost", {}, ...cost(row)),
      cell(
        "number took",
        {},
        el("span", {}, words.milliseconds(row.duration_ms)),
        row.ttft_ms !== null && row.stream ? el("small", {}, `first ${words.milliseconds(row.ttft_ms)}`) : null,
      ),
    );
    line.addEventListener("click", (event) => {
      if (String(getSelection()) && !event.target.closest("button")) return; // a text was selected, not a call
      this.#open(row.id, open, row);
    });
    return line;
  }
}

const none = (why) => el("span", { class: "quiet none", title: why }, "—");

function masked(row) {
  const sums = new Map();
  for (const { entity, action, count } of row.redacted) {
    if (action !== "log") sums.set(entity, (sums.get(entity) ?? 0) + count); // what is only logged leaves as it is
  }
  const counts = [...sums].sort((a, b) => b[1] - a[1]);
  if (!counts.length) return [none()];
  const shown = counts
    .slice(0, 3)
    .map(([name, number]) => el("span", { class: "chip", title: name }, `${number} ${words.entity(name)}`));
  if (counts.length > 3) shown.push(el("span", { class: "quiet" }, `+${counts.length - 3} more`));
  return shown;
}

function tokens(row) {
  if (!row.input_tokens && !row.output_tokens) return [none()];
  return [
    el("span", {}, `${words.compact(row.input_tokens)} → ${words.compact(row.output_tokens)}`),
    row.cache_read_tokens ? el("small", {}, `${words.compact(row.cache_read_tokens)} cached`) : null,
  ].filter(Boolean);
}

const tokenTitle = (row) =>
  `${words.count(row.input_tokens)} in, ${words.count(row.output_tokens)} out` +
  (row.cache_read_tokens ? `, ${words.count(row.cache_read_tokens)} of the input read from the provider’s cache` : "") +
  (row.cache_write_tokens ? `, ${words.count(row.cache_write_tokens)} written to it` : "");

/** What `cache` of a row says of an answer that was not paid for. */
const CACHED = new Set(["hit", "coalesced"]);

/** The cost of a call with the marks that say how sure it is. */
export function cost(row) {
  if (row.cost_usd === null)
    return [
      el(
        "span",
        { class: "mark warn", title: "no price is known for this model; it is not counted as free" },
        "no price",
      ),
    ];
  if (CACHED.has(row.cache))
    return [
      el("span", { title: `$${row.cost_usd}` }, words.money(row.cost_usd)),
      el("span", { class: "mark", title: `$${row.saved_usd} saved` }, "cached"),
    ];
  if (!row.cost_basis) return [none("nothing was due")];
  const amount = `${row.cost_basis === "ceiling" ? "≤ " : ""}${words.money(row.cost_usd)}`;
  const marks = [];
  if (row.cost_estimated)
    marks.push(el("span", { class: "mark", title: "the tokens were counted here; the provider did not say" }, "est."));
  if (row.cost_notional)
    marks.push(el("span", { class: "mark", title: "list price; a subscription has paid for it" }, "plan"));
  return [el("span", { title: `$${row.cost_usd}` }, amount), ...marks];
}

const NO_CALLS = () => [
  el("h3", {}, "No call has come by yet"),
  el("p", {}, "Start a program behind TokenMan, with the login that it has:"),
  command("tokenman run -- claude"),
  el("p", {}, "or lead everything of this shell here:"),
  command('eval "$(tokenman env)"'),
  el("p", { class: "quiet" }, "Calls appear here by themselves, as they end."),
];

const NO_MATCH = () => [
  el("h3", {}, "No call matches"),
  el("p", { class: "quiet" }, "Change the filter above to see others."),
];

const command = (text) => el("div", { class: "command" }, el("code", {}, text), copier(text));
