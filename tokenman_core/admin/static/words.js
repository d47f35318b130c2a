/** Puts numbers, times and outcomes into words. */

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const cents = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const fine = new Intl.NumberFormat("en", { minimumFractionDigits: 4, maximumFractionDigits: 4 });
const finest = new Intl.NumberFormat("en", { minimumFractionDigits: 4, maximumFractionDigits: 6 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

export const count = (number) => whole.format(number ?? 0);
export const compact = (number) => ((number ?? 0) < 10_000 ? whole : short).format(number ?? 0);
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** `640 B`, `12 KiB`, `3.4 MiB`. */
export function size(bytes) {
  let number = bytes;
  const units = ["B", "KiB", "MiB", "GiB"];
  while (number >= 1000 && units.length > 1) {
    number /= 1024;
    units.shift();
  }
  return `${number >= 100 || units[0] === "B" ? Math.round(number) : Number(number.toPrecision(2))} ${units[0]}`;
}

/** A decimal string as an amount to read, rounded as figures.py does; the exact one belongs into a title. */
export function money(amount) {
  const number = Number(amount);
  if (number === 0) return "$0";
  if (number < 0.000001) return "<$0.000001";
  return `$${(number >= 1 ? cents : number >= 0.01 ? fine : finest).format(amount)}`; // a string is rounded as it is written
}

export function milliseconds(number) {
  if (number === null || number === undefined) return "";
  if (number < 1) return "<1 ms";
  if (number < 1000) return `${Math.round(number)} ms`;
  if (number < 60_000) return `${(number / 1000).toFixed(number < 10_000 ? 2 : 1)} s`;
  return `${Math.floor(number / 60_000)} min ${Math.round((number % 60_000) / 1000)} s`;
}

/** The time of day; with the day where that is not today. */
export function moment(iso) {
  const then = new Date(iso);
  const today = then.toDateString() === new Date().toDateString();
  return today ? clock.format(then) : `${day.format(then)}, ${clock.format(then).slice(0, 5)}`;
}

export const moments = (iso) =>
  `${new Date(iso).toLocaleString("en-GB", { dateStyle: "full", timeStyle: "long" })} (${iso})`;

const ENTITIES = {
  EMAIL_ADDRESS: "e-mail",
  PHONE_NUMBER: "phone",
  CREDIT_CARD: "card",
  IBAN_CODE: "IBAN",
  IP_ADDRESS: "IP address",
  MAC_ADDRESS: "MAC address",
  CRYPTO: "wallet address",
  DATE_OF_BIRTH: "date of birth",
  API_KEY: "API key",
  PRIVATE_KEY: "private key",
  JWT: "JWT",
  PASSWORD: "password",
  CONNECTION_STRING: "connection string",
  PERSON: "person",
  LOCATION: "place",
  ORGANIZATION: "organisation",
};

export const entity = (name) => ENTITIES[name] ?? name.toLowerCase().replaceAll("_", " ");

const ACTIONS = {
  redact: "masked, and put back in the answer",
  hash: "masked for good",
  block: "the call was refused",
  log: "sent as it is, and counted",
};

export const action = (name) => ACTIONS[name] ?? name;

const KINDS = {
  parse: "unreadable body",
  auth: "not authorised",
  forbidden: "not allowed",
  body_cap: "body too large",
  not_found: "no such path",
  response_cap: "answer too large",
  headers_cap: "headers too large",
  coding: "unknown coding",
  budget: "budget spent",
  pricing: "no price",
  rate_limit: "rate limit",
  redaction: "redaction",
  injection: "injection",
  stage: "a stage failed",
  upstream: "provider",
  timeout: "timeout",
  breaker: "breaker open",
  shutdown: "shutting down",
  persistence: "count not kept",
  websocket: "WebSocket",
  internal: "internal error",
};

export const kind = (name) => KINDS[name] ?? name;

/** Kinds that are nobody's decision. */
const FAILURES = new Set(["upstream", "timeout", "stage", "persistence", "internal"]);

/** What became of a call: `tone` is ok, warn, bad or idle; `text` and `reason` for the feed, `sentence` for its details. */
export function outcome(row) {
  const took = milliseconds(row.duration_ms);
  const reason = row.error ? kind(row.error) : "";
  switch (row.outcome) {
    case "refused":
      if (FAILURES.has(row.error)) {
        const sentence = `It failed with ${row.status} after ${took}: ${reason}.`;
        return { tone: "bad", text: String(row.status), reason, sentence };
      }
      return {
        tone: "warn",
        text: "Refused",
        reason,
        sentence: `TokenMan refused it with ${row.status}: ${reason}.`,
      };
    case "aborted":
      return {
        tone: "idle",
        text: "Left early",
        reason: "",
        sentence: `The program left after ${took}, before the answer was whole.`,
      };
    case "broken":
      return { tone: "bad", text: "Broken off", reason, sentence: `The answer broke off after ${took}: ${reason}.` };
    case "crashed":
      return {
        tone: "bad",
        text: "Failed",
        reason: "inside",
        sentence: "It failed inside TokenMan; the log says more by its id.",
      };
  }
  if (row.status >= 400) {
    const tone = row.status >= 500 ? "bad" : "warn";
    return {
      tone,
      text: String(row.status),
      reason: "provider",
      sentence: `The provider answered with ${row.status} after ${took}.`,
    };
  }
  return { tone: "ok", text: String(row.status), reason: "", sentence: `Answered with ${row.status} in ${took}.` };
}
