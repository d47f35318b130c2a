/** How the answer cache stands: what it holds, what it answered and saved today, and what is wrong with it. */

import { by, el, svg } from "./dom.js";
import * as words from "./words.js";

/** Reads it and shows it; `today` are the summary's sums. Throws what `session.get` throws. */
export async function refresh(session, today) {
  // The summary tells of the same window what the ledger knows, so none is asked for here.
  const cache = await session.get("api/cache", { since: "1s" });
  const modes = [cache.mode, ...cache.routes.map(({ mode }) => mode)];
  const on = modes.some((mode) => mode !== "off");
  by("cache-card").hidden = !(on || cache.entries);
  by("cache").replaceChildren(
    el(
      "ul",
      {},
      line("Mode", [cache.mode]),
      line(
        "Answers kept",
        [words.count(cache.entries), el("span", { class: "quiet" }, ` ${words.size(cache.bytes)}`)],
        `of at most ${words.count(cache.limit_entries)} and ${words.size(cache.limit_bytes)}; ${words.count(cache.memory_entries)} of them also in memory`,
        Math.max(part(cache.entries, cache.limit_entries), part(cache.bytes, cache.limit_bytes)),
      ),
      line(
        "Answered today",
        [words.plural(today.cache_hits, "call")],
        cache.hit_ratio === null ? null : `since the start ${Math.round(cache.hit_ratio * 100)}% of those that it might have answered`,
      ),
      line("Saved today", [words.money(today.saved_usd)], `$${today.saved_usd}`),
    ),
    ...notes(cache).map(([tone, note, title]) => el("p", { class: tone, title }, note)),
  );
}

function notes(cache) {
  const noted = [];
  if (cache.trouble) noted.push(["problem", cache.trouble]);
  if (cache.routes.length)
    noted.push(["quiet", words.plural(cache.routes.length, "route has a mode of its own", "routes have modes of their own"), list(cache.routes)]);
  if (cache.entries && !cache.encrypted) noted.push(["quiet", "Not encrypted on disk."]);
  if (cache.scope === "shared") noted.push(["quiet", "Callers get each other’s answers."]);
  return noted;
}

function list(routes) {
  return routes.map(({ match, mode }) => `${match.model} of project ${match.project}: ${mode}`).join("\n");
}

const part = (number, limit) => (limit ? Math.min(100, (number / limit) * 100) : 0);

function line(name, value, title, share) {
  return el(
    "li",
    { title },
    el("span", { class: "name" }, name),
    el("span", { class: "value" }, ...value),
    share === undefined
      ? null
      : svg(
          "svg",
          { class: "share", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
          svg("rect", { class: "ground", width: 100, height: 4 }),
          svg("rect", { class: "part", width: share && Math.max(1, share), height: 4 }),
        ),
  );
}
