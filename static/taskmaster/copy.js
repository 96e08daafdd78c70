// Handle the buttons that copy the text of other elements.

import { showToast } from "./ui.js";

/** Copy the text of elements. Without a secure context there is no clipboard. */
async function copy(button) {
  const text = [...document.querySelectorAll(button.dataset.copy)].map((each) => each.textContent).join("\n");
  try {
    await navigator.clipboard.writeText(text);
    showToast("Copied.");
  } catch {
    showToast("The browser allows copying only over HTTPS. Select the text instead.", false);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button[data-copy]");
  if (button) copy(button);
});
