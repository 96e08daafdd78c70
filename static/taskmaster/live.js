// Receive one stream of server-sent events. It is open while the page is visible and reconnects by
// itself.

import { alive, connecting, serverLost } from "./links.js";

const SILENCE_MS = 5000; // The server sends an event at least every 2 s.
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15000;

/** Return "in" if the user may see the page, "out" if not, otherwise "unknown"; and the login page. */
async function session() {
  try {
    const answer = await fetch(location.href, {
      method: "HEAD", redirect: "manual", cache: "no-store", signal: AbortSignal.timeout(10000),
      headers: { "HX-Request": "true", "HX-Current-URL": location.href },
    });
    const login = answer.headers.get("HX-Redirect");
    if (login || [401, 403, 404].includes(answer.status)) return { state: "out", login };
    return { state: answer.ok ? "in" : "unknown" };
  } catch {
    return { state: "unknown" };
  }
}

/** Call the handler of each event's name with its data. `url()` is called for each connection. */
export function listen(url, handlers) {
  let source = null;
  let silenceTimer = 0;
  let retryTimer = 0;
  let pause = FIRST_PAUSE_MS;

  function onActivity(links) {
    clearTimeout(silenceTimer);
    silenceTimer = setTimeout(onLoss, SILENCE_MS);
    pause = FIRST_PAUSE_MS;
    alive(links);
  }

  function close() {
    clearTimeout(silenceTimer);
    clearTimeout(retryTimer);
    source?.close();
    source = null;
  }

  function open() {
    close();
    source = new EventSource(url());
    connecting();
    silenceTimer = setTimeout(onLoss, SILENCE_MS);
    source.onerror = onLoss;
    source.addEventListener("keep-alive", (event) => onActivity(JSON.parse(event.data)));
    source.addEventListener("stream-open", () => onActivity());
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        onActivity();
        handle(JSON.parse(event.data));
      });
    }
  }

  function onLoss() {
    close();
    if (document.hidden) return;
    serverLost();
    // Add jitter, so that browsers do not all reconnect to a restarted server simultaneously.
    retryTimer = setTimeout(reconnect, pause * (0.75 + Math.random() / 2));
    pause = Math.min(LONGEST_PAUSE_MS, pause * 2);
  }

  async function reconnect() {
    const { state, login } = await session();
    // Without a login page, the server answers with an error page.
    if (login) location.assign(login);
    else if (state === "out") location.reload();
    else if (state === "in") open();
    else onLoss();
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  if (!document.hidden) open();
}
