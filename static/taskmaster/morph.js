// Puts new HTML into what is shown without disturbing it: focus, scroll and selection stay, rows
// that are new fade in, and nothing moves under a pointer that is about to click.

import { tick } from "./times.js";

const STILL_MS = 1200; // So long after its last movement a pointer is not about to click.
const MOST_FADING = 8; // More at once would flicker.

let pointed = { within: null, at: 0 };
addEventListener("pointermove", (event) => {
  pointed = { within: event.target.closest?.("[data-fragment]"), at: performance.now() };
}, { passive: true });

/** Whether somebody points at something in there, types, or has selected some of it. */
export function isBusy(element) {
  const active = document.activeElement;
  if (element.contains(active) && active.matches("input") && active.value !== active.defaultValue) return true;
  if (element === pointed.within && performance.now() - pointed.at < STILL_MS) return true;
  const selection = getSelection();
  return !selection.isCollapsed && element.contains(selection.anchorNode);
}

/** Makes the element's content that HTML. */
export async function morph(element, html) {
  const known = new Set([...element.querySelectorAll("[id]")].map((each) => each.id));
  await htmx.swap({ text: html, target: element, swap: "innerMorph", sourceElement: element });
  tick(element);
  if (known.size === 0) return;
  const fresh = [...element.querySelectorAll("tr[id], li[id], article[id]")].filter((each) => !known.has(each.id));
  if (fresh.length <= MOST_FADING) for (const each of fresh) each.classList.add("fresh");
}
