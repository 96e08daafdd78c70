// Update the page of workers: fetch its list after each change, as long as the address stays the same.

import "./filter.js";
import { listen } from "./live.js";
import { isBusy, morph } from "./morph.js";

const SOONEST_MS = 500; // At most two changes a second.
const LONGEST_MS = 10000; // The list is fetched again after this time without a change, too.
const SHARE = 10; // The pause after a fetch, as a multiple of its duration.

const list = document.getElementById("worker-list");
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
  timer ||= setTimeout(refresh, Math.max(0, fetchedAt + pause - performance.now()));
}

setInterval(() => document.hidden || refreshSoon(), LONGEST_MS);
document.addEventListener("visibilitychange", () => document.hidden || refreshSoon());
listen(() => list.dataset.stream, { fragments: refreshSoon });
