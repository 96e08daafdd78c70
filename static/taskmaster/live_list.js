// Update the list of a page: fetch it after each change, as long as the address stays the same.

import { listen } from "./live.js";
import { isBusy, morph } from "./morph.js";

const LONGEST_MS = 10000; // The list can change without a message that this page receives.

/**
 * Update the list after the messages of its stream with these names. A fetch starts `gatherMs` after
 * a message at the earliest. Fetches are at least `pauseMs` apart, and `share` times the duration of
 * the last one. Return the function that a message calls.
 */
export function keepUpdated(list, names, { pauseMs, gatherMs, share }) {
  let timer = 0;
  let fetchedAt = 0;
  let pause = pauseMs;

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
      pause = Math.min(LONGEST_MS, Math.max(pauseMs, share * (fetchedAt - began)));
    }
  }

  function refreshSoon() {
    timer ||= setTimeout(refresh, Math.max(gatherMs, fetchedAt + pause - performance.now()));
  }

  setInterval(() => document.hidden || refreshSoon(), LONGEST_MS);
  document.addEventListener("taskmaster:changed", refreshSoon);
  document.addEventListener("visibilitychange", () => document.hidden || refreshSoon());
  listen(() => list.dataset.stream, Object.fromEntries(names.map((name) => [name, refreshSoon])));
  return refreshSoon;
}
