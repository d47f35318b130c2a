/** Who has a virtual key: what it may do, what it has spent and when it was used last. Never the key, which nobody knows any more. */

import { by, el } from "./dom.js";
import * as words from "./words.js";

const MOST = 12;
const AGAIN_MS = 30_000; // they change seldom, and the last call of each is looked for
const SOON_MS = 3 * 86_400_000;

let shown = 0;

/** Reads the clients and shows them, twice a minute at most. Throws what `session.get` throws, but for what cannot be read now. */
export async function refresh(session) {
  if (Date.now() - shown < AGAIN_MS && !by("clients-card").hidden) return;
  let found;
  try {
    found = await read(session);
  } catch (error) {
    if (error.status !== 503) throw error;
    found = { lines: [], problem: "They cannot be read now; the log says why." };
  }
  shown = Date.now();
  const { lines, more, problem } = found;
  by("clients-card").hidden = !(lines.length || problem);
  by("clients").replaceChildren(
    el("ul", {}, ...lines),
    ...[problem, more && `${words.count(more)} more: tokenman clients list`]
      .filter(Boolean)
      .map((note) => el("p", { class: "quiet" }, note)),
  );
}

async function read(session) {
  const { items: clients } = await session.get("api/clients");
  const { items: sums } = await session.get("api/summary", { since: "30d", by: "client" });
  const used = new Map(sums.filter(({ client }) => client).map((item) => [item.client, item]));
  const known = new Set(clients.map(({ name }) => name));
  const gone = [...used.keys()].filter((name) => !known.has(name)).map((name) => ({ name, revoked: true, models: [], providers: [] }));
  const spent = ({ name }) => Number(used.get(name)?.cost_usd ?? 0);
  const all = [...clients.sort((a, b) => spent(b) - spent(a)), ...gone.sort((a, b) => spent(b) - spent(a))];
  const some = all.slice(0, MOST);
  const budgets = some.length ? await counted(session) : [];
  const last = await Promise.all(some.map(({ name }) => (used.has(name) ? latest(session, name) : null)));
  return {
    lines: some.map((client, index) => line(client, used.get(client.name), budgetOf(client, budgets), last[index])),
    more: all.length - some.length,
  };
}

async function counted(session) {
  try {
    return (await session.get("api/budgets")).items;
  } catch (error) {
    if (error.status !== 503) throw error;
    return []; // the card of budgets says so
  }
}

async function latest(session, client) {
  const { items } = await session.get("api/requests", { client, limit: 1 });
  return items[0]?.time ?? null;
}

function budgetOf({ name, budget }, budgets) {
  const own = budget?.includes("/") ? `client:${name}` : budget;
  return budgets.find((each) => each.name === own && [null, name].includes(each.counted_by));
}

function line(client, sums, budget, last) {
  return el(
    "li",
    { "data-tone": tone(client, budget) },
    el("span", { class: "name" }, client.name, client.project && el("span", { class: "quiet" }, ` ${client.project}`)),
    el("span", { class: "value", title: sums && `$${sums.cost_usd} in 30 days` }, ...value(sums, budget)),
    el("span", { class: "note quiet" }, terms(client, budget).join(" · ")),
    el("span", { class: "note quiet" }, [life(client), last ? `last used ${words.moment(last)}` : "not used in 30 days"].join(" · ")),
  );
}

function value(sums, budget) {
  if (!budget) return [words.money(sums?.cost_usd ?? "0"), el("span", { class: "quiet" }, " in 30 days")];
  return [words.money(budget.spent_usd), el("span", { class: "quiet" }, ` of ${words.money(budget.limit_usd)} (${budget.window})`)];
}

function terms({ revoked, models, providers, budget, rate }, found) {
  if (revoked) return ["its calls of the last 30 days are still counted"];
  const said = [models.join(", ") || "any model", providers.join(", ") || "any provider"];
  if (budget && !found) said.push(`budget ${budget}: nothing counted yet, or configured no more`);
  else if (budget && !budget.includes("/")) said.push(`budget ${budget}`);
  if (rate) said.push(rate);
  return said;
}

function life({ revoked, expired, expires }) {
  if (revoked) return "revoked";
  if (expired) return `expired ${words.moment(expires)}`;
  return expires ? `until ${words.moment(expires)}` : "does not expire";
}

function tone({ revoked, expired, expires }, budget) {
  if (revoked) return "gone";
  if (expired || budget?.spent_ratio >= 1) return "bad";
  return expires && Date.parse(expires) - Date.now() < SOON_MS ? "warn" : "ok";
}
