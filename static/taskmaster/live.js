// One stream of server-sent events: open while somebody looks, repaired by itself, and honest about
// being cut off.

import { clock } from "./times.js";

const SILENCE_MS = 45000; // The server says something every 20 s at least.
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15000;

/** Shows that what is on the page is no longer true, and since when; null: it is. */
function showCutOff(since) {
  const banner = document.querySelector(".banner");
  banner.hidden = since === null;
  if (since !== null) banner.textContent = `Reconnecting… since ${clock(since)}`;
  document.body.classList.toggle("cut-off", since !== null);
  const mark = document.querySelector(".live");
  mark.dataset.state = since === null ? "live" : "cut-off";
  mark.lastElementChild.textContent = since === null ? "Live" : "Cut off";
}

/** "in" while this user may see the page, "out" when the server wants a login, else "unknown". */
async function session() {
  try {
    const answer = await fetch(location.href, {
      method: "HEAD", redirect: "manual", cache: "no-store", signal: AbortSignal.timeout(10000),
    });
    if (answer.type === "opaqueredirect" || [401, 403, 404].includes(answer.status)) return "out";
    return answer.ok ? "in" : "unknown";
  } catch {
    return "unknown";
  }
}

/** Calls the handler of each event's name with its data; `url()` is asked before each connection. */
export function listen(url, handlers) {
  let source = null;
  let silence = 0;
  let retry = 0;
  let pause = FIRST_PAUSE_MS;
  let connected = false;
  let cutOffSince = null;

  function heard() {
    clearTimeout(silence);
    silence = setTimeout(lost, SILENCE_MS);
    pause = FIRST_PAUSE_MS;
    if (!connected) showCutOff(null);
    connected = true;
    cutOffSince = null;
  }

  function close() {
    clearTimeout(silence);
    clearTimeout(retry);
    source?.close();
    source = null;
  }

  function open() {
    close();
    source = new EventSource(url());
    source.onopen = heard;
    source.onerror = lost;
    source.onmessage = heard;
    source.addEventListener("keep-alive", heard);
    source.addEventListener("stream-open", heard);
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        heard();
        handle(JSON.parse(event.data));
      });
    }
  }

  function lost() {
    close();
    if (document.hidden) return;
    connected = false;
    cutOffSince ??= new Date();
    showCutOff(cutOffSince);
    // Spread, so that a server that is back does not meet all browsers at once.
    retry = setTimeout(reconnect, pause * (0.75 + Math.random() / 2));
    pause = Math.min(LONGEST_PAUSE_MS, pause * 2);
  }

  async function reconnect() {
    const state = await session();
    // The server answers with the login page, or says what is missing.
    if (state === "out") location.reload();
    else if (state === "in") open();
    else lost();
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  if (!document.hidden) open();
}
