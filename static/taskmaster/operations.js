// Show the progress of a bulk operation, and the fields of the selected action in the task list.

const EVERY_MS = 1000;

function follow(panel) {
  const staleNote = document.getElementById("operation-stale");
  const active = () => panel.querySelector("[data-active]") !== null;

  function show(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    for (const part of fresh.querySelectorAll("[data-part]")) {
      const current = panel.querySelector(`[data-part="${part.dataset.part}"]`);
      // Keep unchanged parts, so that they keep their focus.
      if (current && current.outerHTML !== part.outerHTML) current.replaceWith(part);
    }
  }

  async function refresh() {
    try {
      const answer = await fetch(panel.dataset.progress, { redirect: "error" });
      if (!answer.ok) throw new Error(answer.status);
      show(await answer.text());
      staleNote.hidden = true;
    } catch {
      staleNote.hidden = false;
    }
    if (active()) setTimeout(refresh, EVERY_MS);
  }

  if (active()) setTimeout(refresh, EVERY_MS);
}

function showActionFields(form) {
  const action = form.querySelector("select[name=action]");
  const update = () => {
    for (const input of form.querySelectorAll("[data-of]")) {
      input.closest("label").hidden = input.dataset.of !== action.value;
    }
  };
  action.addEventListener("change", update);
  update();
}

document.addEventListener("DOMContentLoaded", () => {
  const panel = document.getElementById("operation");
  if (panel) follow(panel);
  const form = document.getElementById("changelist-form");
  if (form?.querySelector("[data-of]")) showActionFields(form);
});
