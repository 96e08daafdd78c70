// Update the creation form: the label of its button, and the arguments of the selected task.

const form = document.getElementById("create-form");
const kinds = JSON.parse(document.getElementById("kinds")?.textContent ?? "{}");
let template = null;

function updateLabels() {
  const form = document.getElementById("create-form");
  const kind = kinds[form.elements.name.value];
  const count = Number(form.elements.count.value);
  const valid = Number.isInteger(count) && count >= 1 && count <= 1000;
  form.querySelector("[type=submit]").textContent = valid
    ? `Create ${count.toLocaleString("en")} task${count === 1 ? "" : "s"}` : "Create tasks";
  form.querySelector(".hint").textContent = kind?.what ?? "";
  form.querySelector("label[for=id_arguments]").textContent =
    form.elements.name.value === "shell" ? "Command" : "Arguments (JSON)";
}

function fillArguments() {
  const field = document.getElementById("create-form").elements.arguments;
  // Keep the user's input.
  if (field.value && field.value !== template) return;
  template = kinds[document.getElementById("create-form").elements.name.value]?.template ?? "";
  field.value = template;
}

if (form) {
  const card = form.parentElement;
  card.addEventListener("input", updateLabels);
  card.addEventListener("change", (event) => {
    if (event.target.name === "name") fillArguments();
    updateLabels();
  });
  card.addEventListener("htmx:after:swap", () => {
    updateLabels();
    card.querySelector(".invalid :is(input, select, textarea)")?.focus();
  });
  fillArguments();
  updateLabels();
}
