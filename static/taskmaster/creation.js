// The creation form: the button says what it does, and a chosen task brings its arguments along.

const form = document.getElementById("create-form");
const kinds = JSON.parse(document.getElementById("kinds")?.textContent ?? "{}");
let template = null;

function describe() {
  const form = document.getElementById("create-form");
  const kind = kinds[form.elements.name.value];
  const count = Number(form.elements.count.value);
  const right = Number.isInteger(count) && count >= 1 && count <= 1000;
  form.querySelector("[type=submit]").textContent = right
    ? `Create ${count.toLocaleString("en")} task${count === 1 ? "" : "s"}` : "Create tasks";
  form.querySelector(".hint").textContent = kind?.what ?? "";
  form.querySelector("label[for=id_arguments]").textContent =
    form.elements.name.value === "shell" ? "Command" : "Arguments, JSON";
}

function bringArguments() {
  const field = document.getElementById("create-form").elements.arguments;
  // What somebody typed stays.
  if (field.value && field.value !== template) return;
  template = kinds[document.getElementById("create-form").elements.name.value]?.template ?? "";
  field.value = template;
}

if (form) {
  const card = form.parentElement;
  card.addEventListener("input", describe);
  card.addEventListener("change", (event) => {
    if (event.target.name === "name") bringArguments();
    describe();
  });
  card.addEventListener("htmx:after:swap", describe);
  bringArguments();
  describe();
}
