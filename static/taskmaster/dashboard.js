// Update the dashboard: insert pushed fragments, and handle the filter of the task table.

import { showCharts } from "./charts.js";
import { isActive } from "./filter.js";
import { listen } from "./live.js";
import { isBusy, morph } from "./morph.js";
import "./creation.js";
import "./declared.js";
import "./dialogs.js";

const EVERY_MS = 250; // At most four changes a second.
const FILTERED_EVERY_MS = 5000;

const filter = document.getElementById("filter");
const pending = new Map();
let shownAt = 0;
let timer = 0;
let filteredAt = 0;

function refreshFiltered() {
  if (performance.now() - filteredAt < FILTERED_EVERY_MS) return false;
  filteredAt = performance.now();
  const query = new URLSearchParams(new FormData(filter));
  htmx.ajax("GET", `${filter.getAttribute("hx-get")}?${query}`, { source: filter, target: "#tasks", swap: "innerMorph" });
  return true;
}

/** Show a fragment. Return false if it must wait. */
function show(name, content) {
  if (name === "charts") {
    showCharts(JSON.parse(content));
    return true;
  }
  const target = document.querySelector(`[data-fragment="${CSS.escape(name)}"]`);
  if (!target) return true;
  if (name !== "counters" && isBusy(target)) return false;
  if (name === "tasks" && isActive(filter)) return refreshFiltered();
  morph(target, content);
  return true;
}

function flush() {
  timer = 0;
  shownAt = performance.now();
  for (const [name, content] of pending) if (show(name, content)) pending.delete(name);
  if (pending.size) schedule();
}

function schedule() {
  timer ||= setTimeout(() => requestAnimationFrame(flush), Math.max(0, EVERY_MS - (performance.now() - shownAt)));
}

function receive(fragments) {
  // Keep only the newest version of each fragment.
  for (const [name, content] of Object.entries(fragments)) pending.set(name, content);
  schedule();
}

// Show pushed fragments of the table again after the last filter is removed.
filter.addEventListener("htmx:after:request", () => (filteredAt = performance.now()));

// Clear the number field after its form was sent.
document.addEventListener("htmx:after:request", (event) => {
  const { sourceElement } = event.detail.ctx;
  if (sourceElement.matches("form[data-resets]")) sourceElement.reset();
});

showCharts(JSON.parse(document.getElementById("charts").textContent));
listen(() => document.querySelector("[data-stream]").dataset.stream, { fragments: receive });
