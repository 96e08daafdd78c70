// Update the page of tasks: fetch its list after each event, as long as the address stays the same.

import "./filter.js";
import { listen } from "./live.js";
import { isBusy, morph } from "./morph.js";

const SOONEST_MS = 250; // At most four changes a second.
const LONGEST_MS = 10000; // Tasks can change without an event that this page receives.
const SHARE = 20; // The pause after a fetch, as a multiple of its duration: each open page costs 5 %.

const list = document.getElementById("tasks");
let timer = 0;
let fetchedAt = 0;
let pause = SOONEST_MS;

async function refresh() {
  timer = 0;
  if (document.hidden) return;
  if (isBusy(list)) return refreshSoon();
  const address = location.href;
  const began = performance.now();
  try {
    const answer = await fetch(address, {
      headers: { "HX-Request": "true", "HX-Current-URL": address }, cache: "no-store",
    });
    const html = await answer.text();
    // On an error do nothing, because the stream shows the problem and reconnects.
    if (answer.ok && address === location.href && !isBusy(list)) await morph(list, html);
  } catch {
    return;
  } finally {
    fetchedAt = performance.now();
    pause = Math.min(LONGEST_MS, Math.max(SOONEST_MS, SHARE * (fetchedAt - began)));
  }
}

function refreshSoon() {
  timer ||= setTimeout(refresh, Math.max(SOONEST_MS, fetchedAt + pause - performance.now()));
}

setInterval(() => document.hidden || refreshSoon(), LONGEST_MS);
document.addEventListener("visibilitychange", () => document.hidden || refreshSoon());
listen(() => list.dataset.stream, { events: refreshSoon, "stream-reset": refreshSoon });
