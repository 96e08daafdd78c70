// What every page has: lines in the corner, questions before what cannot be undone, the frame.

import { setServerTime, tick } from "./times.js";
import "./shell.js";

const TOAST_MS = 8000;
const MOST_TOASTS = 4;

// ---- lines in the corner --------------------------------------------------------------------

const toasts = document.getElementById("toasts");

function fade(toast) {
  // Whoever reads it, or has the focus in it, keeps it.
  if (toast.matches(":hover, :focus-within")) setTimeout(fade, TOAST_MS / 2, toast);
  else toast.remove();
}

new MutationObserver((changes) => {
  for (const { addedNodes } of changes) {
    for (const node of addedNodes) if (node.nodeType === Node.ELEMENT_NODE) setTimeout(fade, TOAST_MS, node);
  }
  while (toasts.childElementCount > MOST_TOASTS) toasts.lastElementChild.remove();
}).observe(toasts, { childList: true });

toasts.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const toast = button.closest(".toast");
  // After htmx has taken what the button says.
  setTimeout(() => toast.remove(), button.classList.contains("close") ? 0 : 50);
});

/** Says something in the corner. */
export function say(text, ok = true) {
  const toast = document.createElement("p");
  toast.className = `toast ${ok ? "complete" : "failed"}`;
  toast.setAttribute("role", ok ? "status" : "alert");
  toast.textContent = text;
  toasts.prepend(toast);
}

document.addEventListener("htmx:error", () => say("The server did not answer; nothing was changed.", false));

// ---- questions ------------------------------------------------------------------------------

const dialog = document.getElementById("confirm");

document.addEventListener("htmx:confirm", (event) => {
  const { ctx, issueRequest, dropRequest } = event.detail;
  if (!ctx.confirm) return;
  event.preventDefault();
  document.getElementById("confirm-text").textContent = ctx.confirm;
  const yes = dialog.querySelector("[value=yes]");
  yes.textContent = ctx.sourceElement.dataset.yes ?? "Yes";
  dialog.returnValue = "no";
  dialog.showModal();
  dialog.addEventListener("close", () => (dialog.returnValue === "yes" ? issueRequest() : dropRequest()), { once: true });
});

// ---- times ----------------------------------------------------------------------------------

setServerTime(1000 * Number(document.body.dataset.now));
tick();
