// Handle the form that filters a list: read its active filters, and remove one by its button.

/** Return whether any field of the form has a value. */
export function isActive(form) {
  return [...new FormData(form)].some(([, value]) => value);
}

for (const form of document.querySelectorAll("form#filter")) {
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-remove-filter]");
    if (!button) return;
    button.parentElement.remove();
    form.requestSubmit();
  });
}

// A click anywhere in a row opens it, unless it selects text or meets a control.
document.addEventListener("click", (event) => {
  const row = event.target.closest?.("table.opens tbody tr");
  if (!row || event.target.closest("a, button, input, label") || !getSelection().isCollapsed) return;
  row.querySelector("a")?.dispatchEvent(new MouseEvent("click", event));
});
