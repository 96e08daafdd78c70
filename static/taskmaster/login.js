// Show the password of the login page on request.
"use strict";

const button = document.getElementById("show-password");
const field = document.querySelector("input[type=password]");

button.hidden = false;
button.addEventListener("click", () => {
  const shown = field.type === "text";
  field.type = shown ? "password" : "text";
  button.setAttribute("aria-pressed", String(!shown));
});
// Browsers remember the text of other fields.
button.closest("form").addEventListener("submit", () => (field.type = "password"));
