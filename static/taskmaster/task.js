// Update a task's page: fetch its content after each event, at most four times a second.

import { openConsole } from "./console.js";
import "./copy.js";
import { listen } from "./live.js";
import { isBusy, morph } from "./morph.js";
import { showToast } from "./ui.js";

const EVERY_MS = 250;
const UNFINISHED_EVERY_MS = 5000; // The pending reason changes without an event of this task.

const page = document.getElementById("task");
const consoleCard = openConsole(document.getElementById("console"), showToast);
let timer = 0;
let refreshedAt = 0;

async function refresh() {
  refreshedAt = performance.now();
  try {
    const answer = await fetch(location.pathname, {
      headers: { "HX-Request": "true", "HX-Current-URL": location.href }, cache: "no-store",
    });
    // On an error do nothing, because the stream shows the problem and reconnects.
    if (answer.ok) await keepFocus(async () => morph(page, await answer.text()));
  } catch {
    return;
  } finally {
    timer = 0;
  }
  consoleCard.addAttempts(Number(document.getElementById("task-head").dataset.attempt));
}

/** Keep the focus when the focused button disappears: Cancel becomes Retry, and the reverse. */
async function keepFocus(change) {
  const focused = page.contains(document.activeElement) ? document.activeElement : null;
  await change();
  if (!focused || focused.isConnected) return;
  const ids = [focused.id, "cancel", "retry", "task-title"];
  ids.map((id) => id && document.getElementById(id)).find((each) => each?.checkVisibility())?.focus();
}

page.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.unfold) for (const each of document.querySelectorAll(button.dataset.unfold)) each.open = true;
});

function refreshSoon() {
  timer ||= setTimeout(refresh, Math.max(0, EVERY_MS - (performance.now() - refreshedAt)));
}

setInterval(() => {
  const finished = document.getElementById("task-head").dataset.finished;
  if (!finished && !document.hidden && !isBusy(page)) refreshSoon();
}, UNFINISHED_EVERY_MS);
document.addEventListener("taskmaster:changed", refreshSoon);
document.addEventListener("visibilitychange", () => document.hidden || refreshSoon());

consoleCard.addAttempts(Number(document.getElementById("task-head").dataset.attempt));
listen(() => page.dataset.stream, { events: refreshSoon });
