// Replace HTML in place: focus, scroll position and selection are kept, new rows fade in, and the
// content under a moving pointer does not change.

import { tick } from "./times.js";

const STILL_MS = 1200; // Time after its last movement after which a pointer counts as still.
const MOST_FADING = 8; // More simultaneous animations would flicker.

let pointer = { within: null, at: 0 };
addEventListener("pointermove", (event) => {
  pointer = { within: event.target.closest?.("[data-fragment]"), at: performance.now() };
}, { passive: true });

/** Return whether the user points at the element, types in it, or has selected a part of it. */
export function isBusy(element) {
  const active = document.activeElement;
  if (element.contains(active) && active.matches("input") && active.value !== active.defaultValue) return true;
  if (element === pointer.within && performance.now() - pointer.at < STILL_MS) return true;
  const selection = getSelection();
  return !selection.isCollapsed && element.contains(selection.anchorNode);
}

/** Replace the content of the element by this HTML. */
export async function morph(element, html) {
  const known = new Set([...element.querySelectorAll("[id]")].map((each) => each.id));
  await htmx.swap({ text: html, target: element, swap: "innerMorph", sourceElement: element });
  tick(element);
  if (known.size === 0) return;
  const fresh = [...element.querySelectorAll("tr[id], li[id], article[id]")].filter((each) => !known.has(each.id));
  if (fresh.length <= MOST_FADING) for (const each of fresh) each.classList.add("fresh");
}
