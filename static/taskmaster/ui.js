// Handle what every page has: toasts, confirmation dialogs and times.

import { setServerTime, tick } from "./times.js";
import "./shell.js";

const TOAST_MS = 8000;
const MOST_TOASTS = 4;

const CORNERS = ["bottom-right", "bottom-left", "top-right", "top-left"];
const CONTROLS = "main :is(button, input, select, textarea, .button)";

const toasts = document.getElementById("toasts");
let focused = null; // The last element outside the toasts that had the focus.

document.addEventListener("focusin", (event) => {
  if (!toasts.contains(event.target)) focused = event.target;
});

/** Give the focus back if its element was disabled, replaced or removed. */
function restoreFocus(element) {
  if (document.activeElement !== document.body || !element) return;
  const same = element.isConnected ? element : document.getElementById(element.id);
  (same ?? document.getElementById("main")).focus({ preventScroll: true });
}

function remove(toast) {
  toast.remove();
  restoreFocus(focused);
}

function fade(toast) {
  // Keep a toast while the pointer or the focus is in it.
  if (toast.matches(":hover, :focus-within")) setTimeout(fade, TOAST_MS / 2, toast);
  else toast.remove();
}

/** Move the toasts to the corner in which they cover the fewest controls. */
function chooseCorner() {
  const controls = [...document.querySelectorAll(CONTROLS)].map((each) => each.getBoundingClientRect()).filter((each) => each.width);
  const covered = CORNERS.map((corner) => {
    toasts.dataset.corner = corner;
    const { left, right, top, bottom } = toasts.getBoundingClientRect();
    return controls.filter((each) => each.left < right && each.right > left && each.top < bottom && each.bottom > top).length;
  });
  toasts.dataset.corner = CORNERS[covered.indexOf(Math.min(...covered))];
}

new MutationObserver((changes) => {
  const added = changes.flatMap(({ addedNodes }) => [...addedNodes]).filter((node) => node.nodeType === Node.ELEMENT_NODE);
  for (const node of added) setTimeout(fade, TOAST_MS, node);
  while (toasts.childElementCount > MOST_TOASTS) toasts.lastElementChild.remove();
  if (added.length) chooseCorner();
}).observe(toasts, { childList: true });

toasts.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const toast = button.closest(".toast");
  // Wait until htmx has read the attributes of the button.
  setTimeout(() => remove(toast), button.classList.contains("close") ? 0 : 50);
});

/** Show a toast. */
export function showToast(text, ok = true) {
  const toast = document.createElement("p");
  toast.className = `toast ${ok ? "complete" : "failed"}`;
  toast.setAttribute("role", ok ? "status" : "alert");
  toast.textContent = text;
  toasts.prepend(toast);
}

// A button is disabled during its request, and loses the focus.
document.addEventListener("htmx:config:request", (event) => (event.detail.ctx.focused = document.activeElement));
document.addEventListener("htmx:finally:request", (event) => setTimeout(restoreFocus, 0, event.detail.ctx.focused));

// A response without a toast is a page of the server or of a proxy, which would cover this one.
document.addEventListener("htmx:after:request", (event) => {
  const { response, hx } = event.detail.ctx;
  if (response.status < 400 || hx.retarget || hx.redirect) return;
  event.preventDefault();
  showToast(`The server answered with error ${response.status}. Reload the page to see whether the change was made.`, false);
});

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

// A field that changes shows no error of its old value.
document.addEventListener("input", (event) => {
  const field = event.target.closest(".field.invalid");
  if (!field) return;
  field.classList.remove("invalid");
  event.target.removeAttribute("aria-invalid");
  field.querySelector(".error").textContent = "";
});

setServerTime(1000 * Number(document.body.dataset.now));
tick();
document.addEventListener("htmx:after:swap", () => tick());
