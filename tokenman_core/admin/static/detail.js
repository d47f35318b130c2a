/** The details of one call, in a drawer: what became of it, what was masked and by which setting, what it cost, where time went. */

import { by, copier, el, svg } from "./dom.js";
import { cost } from "./feed.js";
import * as words from "./words.js";

const PARTS = [
  ["here", "in TokenMan"],
  ["wait", "until the first token"],
  ["rest", "until the end"],
];

/** Opens the drawer for the call `id`, with what is known of it already (`row`, may be missing) until the rest is read. */
export async function show(session, id, row) {
  const drawer = by("detail");
  const content = el("div", { class: "drawer-content" });
  const fill = (...parts) => content.replaceChildren(...parts);
  const close = el("button", { type: "button", class: "small", onclick: () => drawer.close() }, "Close");
  drawer.replaceChildren(el("div", { class: "drawer-head" }, el("h2", { id: "detail-title" }, "Call"), close), content);
  fill(...(row ? sections(row) : [el("p", { class: "quiet" }, "Reading …")]));
  if (!drawer.open) drawer.showModal();
  drawer.scrollTop = 0;
  try {
    fill(...sections(await session.get(`api/requests/${encodeURIComponent(id)}`)));
  } catch (error) {
    if (row && error.status === 404) return; // it has ended just now: the ledger will have it in a moment
    fill(
      el(
        "p",
        { class: "notice", role: "alert" },
        error.status === 404 ? "This call is not in the ledger (any more)." : error.message,
      ),
    );
  }
}

function sections(call) {
  const { tone, text, sentence } = words.outcome(call);
  return [
    el("div", { class: "lead" }, el("h3", {}, call.model || "no model"), el("span", { class: `pill ${tone}` }, text)),
    el("p", { class: "quiet" }, [call.provider, call.client, words.moment(call.time)].filter(Boolean).join(" · ")),
    el("p", { class: "sentence" }, sentence, call.detail ? el("q", {}, call.detail) : null),
    section("What was masked", ...masked(call)),
    section("Cost", ...money(call)),
    call.prompt_cache_break || call.repeats ? section("Caches", ...caches(call)) : null,
    section("Time", ...times(call)),
    section("Which call", ...names(call)),
  ].filter(Boolean);
}

const section = (title, ...content) => el("section", {}, el("h3", {}, title), ...content);

function masked(call) {
  if (!call.redacted?.length) return [el("p", { class: "quiet" }, "Nothing was found in its text.")];
  const lines = call.redacted.map(({ entity, action, setting, count }) =>
    el(
      "tr",
      {},
      el("td", {}, el("span", { class: "chip", title: entity }, `${count} ${words.entity(entity)}`)),
      el("td", {}, words.action(action), setting ? el("small", {}, "by ", el("code", {}, setting)) : null),
    ),
  );
  return [el("table", { class: "plain" }, el("tbody", {}, ...lines)), ...spots(call)];
}

/** Where it stood. A value is told by a keyed hash, the same in every call; the last places of a call are kept, for some weeks. */
function spots(call) {
  if (!call.spots?.length) return [];
  const lines = call.spots.map(({ place, entity, action, hash, times }) =>
    el(
      "tr",
      {},
      el("td", {}, el("code", {}, place || "address"), times > 1 ? el("small", {}, ` ${times} times`) : null),
      el("td", {}, `${words.entity(entity)}, ${words.action(action)}`, el("small", {}, "value ", el("code", {}, hash))),
    ),
  );
  return [
    el("details", {}, el("summary", {}, "Where it stood"), el("table", { class: "plain" }, el("tbody", {}, ...lines))),
  ];
}

const BASES = {
  list: "By the provider’s list price.",
  override: "By the price in your configuration.",
  ceiling: "The model is not listed: this is its provider’s dearest price, so it costs no more.",
  unknown:
    "No price is known for this model, which is not the same as free. The setting pricing.overrides gives it one.",
  free: "This kind of call costs nothing.",
};

const CACHED = {
  hit: "The answer came from TokenMan’s cache: nothing was sent.",
  coalesced: "It shared the answer to another call that asked the same: nothing of its own was sent.",
};

function money(call) {
  if (CACHED[call.cache])
    return [facts([["Cost", el("span", {}, ...cost(call))], ["Saved", words.money(call.saved_usd)]]), el("p", { class: "quiet" }, CACHED[call.cache])];
  if (!call.cost_basis && !call.input_tokens && !call.output_tokens)
    return [el("p", { class: "quiet" }, "Nothing was due.")];
  const remarks = [
    BASES[call.cost_basis] ?? "Nothing was due.",
    call.cost_estimated && "The provider did not say (all of) what it used: the rest was counted here.",
    call.cost_estimated && call.stream_truncated && "Its stream was longer than what limits.stream_capture keeps to count.",
    call.cost_notional && "It came with a subscription’s login: you are not billed for it by the call.",
  ].filter(Boolean);
  return [
    facts([
      ["Cost", el("span", {}, ...cost(call))],
      ["Exactly", call.cost_usd !== null && call.cost_usd !== "0" ? `$${call.cost_usd}` : null],
      ["Input", `${words.plural(call.input_tokens, "token")}`],
      ["of it read from cache", call.cache_read_tokens ? words.count(call.cache_read_tokens) : null],
      ["of it written to cache", call.cache_write_tokens ? words.count(call.cache_write_tokens) : null],
      ["Output", `${words.plural(call.output_tokens, "token")}`],
      ["of it reasoning", call.reasoning_tokens ? words.count(call.reasoning_tokens) : null],
      ["Saved", call.saved_usd !== "0" ? words.money(call.saved_usd) : null],
    ]),
    el("p", { class: "quiet" }, remarks.join(" ")),
  ];
}

/** Why the provider's own cache broke, and whether one of ours would have had the answer. */
function caches(call) {
  const lost = `${words.plural(call.prompt_cache_lost_tokens, "token")} that the provider’s cache had before were not read from it`;
  const more = Number(call.prompt_cache_lost_usd) ? `, which cost ${words.money(call.prompt_cache_lost_usd)} more` : "";
  return [
    facts([
      ["The provider’s broke", call.prompt_cache_break],
      ["It repeats a call", call.repeats && el("code", {}, `cache: {mode: ${call.repeats}}`)],
    ]),
    call.prompt_cache_break ? el("p", { class: "quiet" }, `${lost}${more}.`) : null,
    call.repeats ? el("p", { class: "quiet" }, "With that setting it would have cost nothing.") : null,
  ].filter(Boolean);
}

function times(call) {
  const here = Math.min(call.overhead_ms, call.duration_ms);
  const first = call.ttft_ms ?? call.duration_ms;
  const parts = { here, wait: Math.max(0, first - here), rest: Math.max(0, call.duration_ms - Math.max(first, here)) };
  const whole = here + parts.wait + parts.rest || 1;
  const bar = svg("svg", { class: "times", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" });
  let left = 0;
  for (const [name] of PARTS) {
    const width = (parts[name] / whole) * 100;
    bar.append(svg("rect", { class: name, x: left, width, height: 6 }));
    left += width;
  }
  return [
    bar,
    el(
      "ul",
      { class: "keys" },
      ...PARTS.filter(([name]) => parts[name] > 0).map(([name, text]) =>
        el("li", { class: name }, `${words.milliseconds(parts[name])} ${text}`),
      ),
    ),
    facts([
      ["In all", words.milliseconds(call.duration_ms)],
      ["Attempts", words.count(call.attempts)],
      ...call.tried.map((each, index) => [
        `Attempt ${index + 1}`,
        [each.provider, each.outcome.replace("_", " "), each.wait_ms ? `after ${words.milliseconds(each.wait_ms)}` : ""].filter(Boolean).join(", "),
      ]),
      ["Answer", call.attempts > 0 && (call.stream ? "a stream" : "in one piece")],
    ]),
  ];
}

function names(call) {
  return [
    facts([
      ["Id", el("span", { class: "with-copy" }, el("code", {}, call.id), copier(call.id))],
      ["Program", call.client],
      ["Project", call.project],
      ["Session", call.session && el("code", {}, call.session)],
      ["Dialect", [call.dialect, call.operation].filter(Boolean).join(", ")],
      ["Login", { key: "an API key", oauth: "a subscription’s login", none: "none" }[call.login]],
      ["Cache", call.cache],
    ]),
    el("p", { class: "quiet" }, "The same in a terminal:"),
    el("div", { class: "command" }, el("code", {}, `tokenman why ${call.id}`), copier(`tokenman why ${call.id}`)),
  ];
}

function facts(pairs) {
  return el(
    "dl",
    { class: "facts" },
    ...pairs
      .filter(([, value]) => value)
      .map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}
