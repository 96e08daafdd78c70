// Handle what every page has: toasts, confirmation dialogs and times.

import { setServerTime, tick } from "./times.js";
import "./shell.js";

const TOAST_MS = 8000;
const MOST_TOASTS = 4;

const toasts = document.getElementById("toasts");

function fade(toast) {
  // Keep a toast while the pointer or the focus is in it.
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
  // Wait until htmx has read the attributes of the button.
  setTimeout(() => toast.remove(), button.classList.contains("close") ? 0 : 50);
});

/** Show a toast. */
export function showToast(text, ok = true) {
  const toast = document.createElement("p");
  toast.className = `toast ${ok ? "complete" : "failed"}`;
  toast.setAttribute("role", ok ? "status" : "alert");
  toast.textContent = text;
  toasts.prepend(toast);
}

document.addEventListener("htmx:error", () => showToast("The server did not answer. Reload the page to see whether the change was made.", false));

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

setServerTime(1000 * Number(document.body.dataset.now));
tick();
document.addEventListener("htmx:after:swap", () => tick());
