/** How the budgets stand: what is spent and held of each, when its window ends, and what it will have cost by then. */

import { by, el, svg } from "./dom.js";
import * as words from "./words.js";

const MOST = 8;

/** Reads the budgets and shows them; `live` is the summary's. Throws what `session.get` throws, but for a count that cannot be read. */
export async function refresh(session, live) {
  let items = [];
  let problem = "";
  try {
    ({ items } = await session.get("api/budgets"));
  } catch (error) {
    if (error.status !== 503) throw error;
    problem = "They cannot be read now; the log says why.";
  }
  const refused = [
    ["rate_limit", "by a rate limit or the guard"],
    ["budget", "by a budget"],
  ].filter(([kind]) => live.errors_by_type[kind]);
  by("budgets-card").hidden = !(items.length || problem || refused.length);
  const order = [...items].sort((a, b) => b.spent_ratio - a.spent_ratio);
  const notes = [
    problem,
    order.length > MOST && `${words.count(order.length - MOST)} more, less spent`,
    ...refused.map(([kind, why]) => `${words.plural(live.errors_by_type[kind], "call")} held back ${why} since the start`),
  ];
  by("budgets").replaceChildren(
    el("ul", {}, ...order.slice(0, MOST).map(line)),
    ...notes.filter(Boolean).map((note) => el("p", { class: "quiet" }, note)),
  );
}

function line(budget) {
  const limit = Number(budget.limit_usd);
  const part = (usd) => Math.min(100, (Number(usd) / limit) * 100);
  const spent = part(budget.spent_usd);
  const held = Math.min(100 - spent, part(budget.held_usd));
  const ahead = budget.forecast_usd === null ? null : part(budget.forecast_usd);
  return el(
    "li",
    { title: title(budget), "data-tone": tone(budget) },
    el("span", { class: "name" }, budget.name, whose(budget)),
    el(
      "span",
      { class: "value" },
      words.money(budget.spent_usd),
      el("span", { class: "quiet" }, ` of ${words.money(budget.limit_usd)}`),
    ),
    svg(
      "svg",
      { class: "share", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { class: "ground", width: 100, height: 4 }),
      svg("rect", { class: "part", width: spent, height: 4 }),
      svg("rect", { class: "held", x: spent, width: held, height: 4 }),
      ahead !== null && svg("rect", { class: "ahead", x: Math.min(99, ahead), width: 1, height: 4 }),
    ),
    el("span", { class: "note quiet" }, note(budget)),
  );
}

function whose(budget) {
  return budget.scope === "global" ? null : el("span", { class: "quiet" }, ` ${budget.counted_by ?? "(none)"}`);
}

function tone(budget) {
  if (budget.spent_ratio >= 1) return "bad";
  return budget.full_at || budget.spent_ratio >= 0.8 ? "warn" : "ok";
}

function note(budget) {
  const parts = [];
  if (Number(budget.held_usd)) parts.push(`${words.money(budget.held_usd)} held by running calls`);
  if (Number(budget.crashed_usd)) parts.push(`${words.money(budget.crashed_usd)} by calls that a crash ended, at least`);
  if (budget.spent_ratio >= 1) parts.push("spent");
  else if (budget.full_at) parts.push(`full at ${words.moment(budget.full_at)}`);
  if (budget.forecast_usd !== null) parts.push(`${words.money(budget.forecast_usd)} expected by its end`);
  parts.push(budget.ends ? `ends ${words.moment(budget.ends)}` : "without end");
  return parts.join(" · ");
}

const METHODS = { linear: "as fast as until now", weekdays: "as on the same weekdays before" };

function title(budget) {
  return [
    `$${budget.spent_usd} spent, $${budget.held_usd} held, $${budget.left_usd} left of $${budget.limit_usd}`,
    `${budget.scope}, by ${budget.window}, ${budget.on_exceed}`,
    budget.forecast_by && `expected: ${METHODS[budget.forecast_by]}`,
  ]
    .filter(Boolean)
    .join(" · ");
}
