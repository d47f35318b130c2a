/** The sums above and beside the feed: tiles for today and seven days, charts and shares of the last 24 hours. */

import * as budgets from "./budgets.js";
import * as cache from "./cache.js";
import * as caches from "./caches.js";
import * as clients from "./clients.js";
import { barChart, shares } from "./charts.js";
import { by, el } from "./dom.js";
import * as words from "./words.js";

const HOURS = 24;
const HOUR_MS = 3_600_000;
const SHARES = 6;

/** Reads all sums and shows them. Throws what `session.get` throws. */
export async function refresh(session) {
  const midnight = new Date();
  midnight.setHours(0, 0, 0, 0);
  const hour = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
  const since = new Date(hour - (HOURS - 1) * HOUR_MS).toISOString();
  const [today, week, hours, models] = await Promise.all([
    session.get("api/summary", { since: midnight.toISOString() }),
    session.get("api/summary", { since: "7d" }),
    session.get("api/summary", { since, by: "hour" }),
    session.get("api/summary", { since, by: "model" }),
  ]);
  tiles(today.total, week.total, today.active);
  charts(hours, hour);
  modelShares(models.items);
  entityShares(models.redactions);
  caches.show(models);
  await budgets.refresh(session, today.live);
  await clients.refresh(session);
  await cache.refresh(session, today.total);
}

function tiles(today, week, active) {
  const tokens = today.input_tokens + today.output_tokens;
  by("tiles").replaceChildren(
    tile(
      "Spend today",
      cost(today),
      `${words.money(week.cost_usd)} in 7 days`,
      [...marks(today), saved(today)],
      `$${today.cost_usd}`,
    ),
    tile("Calls today", words.compact(today.calls), `${words.compact(week.calls)} in 7 days`),
    tile(
      "Tokens today",
      words.compact(tokens),
      `${words.compact(today.input_tokens)} in, ${words.compact(today.output_tokens)} out`,
      null,
      words.count(tokens),
    ),
    tile(
      "Masked today",
      words.compact(today.masked),
      `${words.compact(week.masked)} in 7 days`,
      null,
      null,
      today.masked ? "mask" : "",
    ),
    tile(
      "Errors today",
      words.compact(today.errors),
      `${words.compact(week.errors)} in 7 days`,
      [
        today.refused_calls > 0 &&
          el(
            "span",
            { class: "mark warn", title: "calls that their provider answered with a status of 4xx" },
            `${words.compact(today.refused_calls)} refused by the provider`,
          ),
      ],
      null,
      today.errors ? "bad" : "",
    ),
    tile("Active now", words.compact(active), active ? "being answered" : "all is quiet"),
  );
}

function tile(name, value, note, marks, title, tone) {
  return el(
    "div",
    { class: "card tile" },
    el("dt", {}, name),
    el("dd", { class: `value ${tone ?? ""}`, title }, value),
    el("dd", { class: "quiet" }, note, ...(marks ?? [])),
  );
}

/** With ≤ where a part of it is a guess. */
const cost = (sums) => `${sums.ceiling_calls ? "≤ " : ""}${words.money(sums.cost_usd)}`;

function marks(sums) {
  return [
    sums.ceiling_calls > 0 &&
      el(
        "span",
        { class: "mark", title: "calls of models on no list, booked at their provider's dearest price" },
        `${words.compact(sums.ceiling_calls)} guessed`,
      ),
    sums.notional_usd !== "0" &&
      el(
        "span",
        { class: "mark", title: "of it the list price of what subscriptions have paid for" },
        `${words.money(sums.notional_usd)} plan`,
      ),
    sums.estimated_calls > 0 &&
      el(
        "span",
        { class: "mark", title: "calls whose tokens were counted here" },
        `${words.compact(sums.estimated_calls)} est.`,
      ),
    sums.unpriced_calls > 0 &&
      el(
        "span",
        { class: "mark warn", title: "calls of models without a known price: they are not in the sum" },
        `${words.compact(sums.unpriced_calls)} no price`,
      ),
  ];
}

/** What the providers' own caches took off the cost, or added to it. */
function saved(sums) {
  const usd = Number(sums.prompt_cache_saved_usd);
  if (!usd) return false;
  const amount = words.money(sums.prompt_cache_saved_usd.replace("-", ""));
  const title = usd > 0 ? "less than without the providers' prompt caches" : "more for what was written to a cache and not read";
  return el("span", { class: usd > 0 ? "mark" : "mark warn", title }, `${amount} ${usd > 0 ? "saved by" : "lost to"} prompt caches`);
}

function charts({ items, total }, last) {
  const sums = new Map(items.map((item) => [Date.parse(item.hour), item]));
  const hours = Array.from({ length: HOURS }, (_, index) => last - (HOURS - 1 - index) * HOUR_MS);
  const of = (hour) => sums.get(hour) ?? { calls: 0, errors: 0, cost_usd: "0", masked: 0 };
  const hour = (start) => `${time(start)}–${time(start + HOUR_MS)}`;
  const labels = [time(hours[0]), "now"];
  draw(by("calls-chart"), {
    title: "Calls, 24 hours",
    total: words.plural(total.calls, "call") + (total.errors ? `, ${words.plural(total.errors, "error")}` : ""),
    bars: hours.map((start) => {
      const { calls, errors } = of(start);
      return {
        label: hour(start),
        values: [calls - errors, errors],
        text: words.plural(calls, "call") + (errors ? `, ${words.plural(errors, "error")}` : ""),
      };
    }),
    kinds: ["calls", "errors"],
    labels,
    empty: "no calls",
  });
  draw(by("spend-chart"), {
    title: "Spend, 24 hours",
    total: words.money(total.cost_usd),
    bars: hours.map((start) => ({
      label: hour(start),
      values: [Number(of(start).cost_usd)],
      text: words.money(of(start).cost_usd),
    })),
    kinds: ["spend"],
    labels,
    empty: "nothing spent",
  });
}

function draw(figure, chart) {
  if (!figure.matches(":hover, :focus-within")) barChart(figure, chart); // it is being read
}

function time(start) {
  return new Date(start).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

function modelShares(items) {
  const dear = items.some((item) => Number(item.cost_usd) > 0);
  const lines = items.map((item) => ({
    name: item.model || "no model",
    title: [
      item.model || "no model",
      words.plural(item.calls, "call"),
      `${words.count(item.input_tokens)} tokens in, ${words.count(item.output_tokens)} out`,
      `$${item.cost_usd}`,
    ].join(" · "),
    value: dear ? Number(item.cost_usd) : item.calls,
    text: item.unpriced_calls && item.cost_usd === "0" ? "no price" : cost(item),
    note: words.plural(item.calls, "call"),
  }));
  shares(by("models"), lines.sort((a, b) => b.value - a.value).slice(0, SHARES), "No call in the last 24 hours.");
}

function entityShares(items) {
  const counts = new Map();
  for (const { entity, action, count } of items) {
    if (action !== "log") counts.set(entity, (counts.get(entity) ?? 0) + count);
  }
  const lines = [...counts].map(([entity, count]) => ({
    name: words.entity(entity),
    title: entity,
    value: count,
    text: words.count(count),
  }));
  shares(by("masked"), lines.sort((a, b) => b.value - a.value).slice(0, SHARES), "Nothing in the last 24 hours.");
}
