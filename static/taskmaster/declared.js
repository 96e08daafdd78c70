// Show the options that the selected task declares in the fields of a form that submits tasks.

document.addEventListener("change", ({ target }) => {
  if (!target.dataset.declared) return;
  const declared = JSON.parse(target.dataset.declared)[target.value];
  for (const field of target.form.querySelectorAll("[data-option]")) {
    const text = declared?.[field.dataset.option];
    if (field.tagName === "SELECT") field.options[0].text = text ?? "as declared";
    else field.placeholder = text ?? "";
  }
});
