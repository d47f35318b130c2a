/** The dashboard: signs in, then shows the feed and the sums and keeps both up to date until the token is refused. */

import { Session, follow } from "./api.js";
import * as detail from "./detail.js";
import { by } from "./dom.js";
import { Feed } from "./feed.js";
import { refresh } from "./overview.js";

const SETTLE_MS = 1000; // sums are read so long after a call, so that a burst reads them once
const ROUTINE_MS = 15_000; // and so often without any, for what ages

const OVER = "This session is over: TokenMan was started anew, or half a day has passed.";
const USED =
  "This address was used already, or is too old. `tokenman up` prints a new one when it starts; or paste the token.";

const session = new Session();
const feed = new Feed(session, { open: openCall, problem: tell });
let line = null; // aborts the live line
let routine = 0;
let settling = 0;

async function begin() {
  const given = new URLSearchParams(location.hash.slice(1));
  // Out of the address before anything else: it must not stay in the history, nor be seen over a shoulder.
  if (given.has("code")) history.replaceState(null, "", location.pathname + location.search);
  try {
    if (given.has("code")) await session.redeem(given.get("code"));
  } catch (error) {
    if (!session.present) return signedOut(error.status === 403 ? USED : error.message);
  }
  if (session.present) enter(given.get("call"), OVER);
  else signedOut("");
}

/** `call` is to be opened at once, null for none; `refused` is what to say if the token is. */
function enter(call, refused) {
  line?.abort();
  line = new AbortController();
  watch(line.signal, call, refused);
}

async function watch(signal, call, refused) {
  state("idle", "Connecting …");
  const told = {
    open: () => {
      refused = OVER;
      shown(true);
      state("live", "Live");
      version();
      feed.load(); // what ended while nobody listened
      sums();
      if (call) openCall(call);
      call = null;
    },
    event: (name, data) => {
      if (name === "call") feed.live(data);
      else if (name === "lost") feed.load();
      settling ||= setTimeout(sums, SETTLE_MS);
    },
    waiting: (why, milliseconds, wake) => {
      shown(true);
      state("lost", `Connection lost. Next try in ${Math.ceil(milliseconds / 1000)} s`);
      tell(why);
      by("retry").onclick = wake;
    },
  };
  try {
    await follow(session, told, signal);
  } catch {
    signedOut(refused);
  }
}

function shown(inside) {
  by("signed-out").hidden = inside;
  by("main").hidden = !inside;
  by("sign-out").hidden = !inside;
}

async function version() {
  try {
    by("version").textContent = (await session.get("api/version")).version;
  } catch {
    // nothing hangs on it
  }
}

async function sums() {
  clearTimeout(routine);
  clearTimeout(settling);
  settling = 0;
  if (by("main").hidden) return;
  try {
    await refresh(session);
    tell(null);
  } catch (error) {
    tell(error);
  }
  routine = setTimeout(sums, ROUTINE_MS);
}

function openCall(id, from, row) {
  history.replaceState(null, "", `#call=${encodeURIComponent(id)}`);
  by("detail").onclose = () => {
    history.replaceState(null, "", location.pathname + location.search);
    from?.focus();
  };
  detail.show(session, id, row);
}

/** What the API could not do, in its words. */
function tell(error) {
  if (error?.signedOut) return signedOut(OVER);
  by("problem").hidden = !error;
  by("problem").textContent = error ? error.message : "";
}

function state(name, text) {
  by("state").dataset.state = name;
  by("state").textContent = text;
  by("retry").hidden = name !== "lost";
}

function signedOut(why) {
  line?.abort();
  session.use("");
  feed.clear();
  by("detail").close();
  shown(false);
  by("sign-in-problem").textContent = why;
  state("idle", "");
  by("token").focus();
}

by("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  session.use(by("token").value.trim());
  by("token").value = "";
  by("sign-in-problem").textContent = "";
  enter(null, "That is not the token of this TokenMan.");
});
by("sign-out").addEventListener("click", () => signedOut(""));
addEventListener("hashchange", begin);
begin();
