// Brings the figures up to date every two seconds, in place, while somebody looks.
"use strict";

const EVERY_MS = 2000;
const banner = document.querySelector(".banner");
let cutOffSince = null;

function showConnection(connected) {
  if (connected) cutOffSince = null;
  else cutOffSince ??= new Date();
  document.body.classList.toggle("cut-off", !connected);
  banner.hidden = connected;
  if (!connected) banner.textContent = `Reconnecting… since ${cutOffSince.toLocaleTimeString()}`;
}

function markFresh(fresh, shown) {
  const known = new Set([...shown.querySelectorAll("tr[data-id]")].map((row) => row.dataset.id));
  if (known.size === 0) return;
  for (const row of fresh.querySelectorAll("tr[data-id]")) {
    if (!known.has(row.dataset.id)) row.classList.add("fresh");
  }
}

async function refresh() {
  const response = await fetch(location.href, { signal: AbortSignal.timeout(10000) });
  if (response.redirected) return location.reload();
  if (!response.ok) throw new Error(response.statusText);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const sections = document.querySelectorAll("main > section");
  page.querySelectorAll("main > section").forEach((fresh, index) => {
    const shown = sections[index];
    // What has the focus keeps it until the next turn.
    if (fresh.outerHTML === shown.outerHTML || shown.contains(document.activeElement)) return;
    markFresh(fresh, shown);
    shown.replaceWith(fresh);
  });
}

async function turn() {
  if (!document.hidden) {
    try {
      await refresh();
      showConnection(true);
    } catch {
      showConnection(false);
    }
  }
  setTimeout(turn, EVERY_MS);
}

setTimeout(turn, EVERY_MS);
