// Handle the dialogs that ask for a reason, a time or a range: they close when their change is made.

document.addEventListener("taskmaster:changed", () => {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
});

// A dialog that opens again shows no old error.
document.addEventListener("click", (event) => {
  const opener = event.target.closest?.("[data-open]");
  if (!opener) return;
  for (const error of document.querySelectorAll(`#${CSS.escape(opener.dataset.open)} .error`)) error.textContent = "";
});
