/** What caches did in the last 24 hours: the providers' own and ours, why the providers' broke, what one of ours would have saved. */

import { by, el } from "./dom.js";
import * as words from "./words.js";

const MOST = 5;

/** Shows the summary's part about caches; nothing where there is nothing to say. */
export function show({ total, prompt_cache_breaks: breaks }) {
  const facts = [
    total.cache_read_tokens > 0 && [
      "Input from the providers’ caches",
      percent(total.prompt_cache_read_ratio),
      `${words.plural(total.cache_read_tokens, "token")} of ${words.count(total.input_tokens)}`,
    ],
    total.cache_hits > 0 && [
      "Calls answered by TokenMan’s cache",
      percent(total.cache_hit_ratio),
      `${words.plural(total.cache_hits, "call")} of ${words.count(total.calls)}`,
    ],
    total.repeated_calls > 0 && [
      "A cache would have saved",
      words.money(total.repeated_usd),
      `${words.plural(total.repeated_calls, "call")}, of them ${words.count(total.repeated_deterministic_calls)} deterministic`,
    ],
  ].filter(Boolean);
  by("caches-card").hidden = !(facts.length || breaks.length);
  const why = [
    el("h3", {}, "Why the providers’ caches broke"),
    el("ul", {}, ...breaks.slice(0, MOST).map(cause)),
    breaks.length > MOST && el("p", { class: "quiet" }, `${words.plural(breaks.length - MOST, "cause")} more`),
  ].filter(Boolean);
  by("caches").replaceChildren(el("ul", {}, ...facts.map(line)), ...(breaks.length ? why : []));
}

function line([name, value, title]) {
  return el("li", { title }, el("span", { class: "name" }, name), el("span", { class: "value" }, value));
}

function cause({ cause, count, lost_tokens, lost_usd }) {
  const title = `${words.plural(lost_tokens, "token")} not read again, $${lost_usd} more`;
  const lost = Number(lost_usd) ? words.money(lost_usd) : `${words.compact(lost_tokens)} tokens`;
  return el(
    "li",
    { title },
    el("span", { class: "name" }, cause),
    el("span", { class: "value" }, lost, el("span", { class: "quiet" }, ` ${words.count(count)}×`)),
  );
}

/** Nothing but nothing is 0, and only all is 100. */
function percent(ratio) {
  const rounded = ratio === 0 || ratio === 1 ? ratio : Math.min(0.99, Math.max(0.01, ratio));
  return `${Math.round(rounded * 100)}%`;
}
