// A task's page: what changes is fetched again when its events say so, at most four times a second.

import { openConsole } from "./console.js";
import { listen } from "./live.js";
import { isBusy, morph } from "./morph.js";
import { say } from "./ui.js";

const EVERY_MS = 250;
const UNFINISHED_EVERY_MS = 5000; // What it waits for changes without an event of its own.

const page = document.getElementById("task");
const output = openConsole(document.getElementById("console"), say);
let timer = 0;
let lookedAt = 0;

async function look() {
  lookedAt = performance.now();
  try {
    const answer = await fetch(location.pathname, {
      headers: { "HX-Request": "true", "HX-Current-URL": location.href }, cache: "no-store",
    });
    // The stream shows what is wrong, and repairs it.
    if (answer.ok) await morph(page, await answer.text());
  } catch {
    return;
  } finally {
    timer = 0;
  }
  output.offer(Number(document.getElementById("task-head").dataset.attempt));
}

function lookSoon() {
  timer ||= setTimeout(look, Math.max(0, EVERY_MS - (performance.now() - lookedAt)));
}

setInterval(() => {
  const finished = document.getElementById("task-head").dataset.finished;
  if (!finished && !document.hidden && !isBusy(page)) lookSoon();
}, UNFINISHED_EVERY_MS);
document.addEventListener("taskmaster:changed", lookSoon);
document.addEventListener("visibilitychange", () => document.hidden || lookSoon());

output.offer(Number(document.getElementById("task-head").dataset.attempt));
listen(() => page.dataset.stream, { events: lookSoon });
