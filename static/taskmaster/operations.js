// Follows an operation while it runs, and shows with an action of the task list what it needs.

const EVERY_MS = 1000;

function follow(panel) {
  const cut = document.getElementById("operation-cut");
  const active = () => panel.querySelector("[data-active]") !== null;

  function show(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    for (const part of fresh.querySelectorAll("[data-part]")) {
      const shown = panel.querySelector(`[data-part="${part.dataset.part}"]`);
      // What is as before keeps its focus.
      if (shown && shown.outerHTML !== part.outerHTML) shown.replaceWith(part);
    }
  }

  async function look() {
    try {
      const answer = await fetch(panel.dataset.progress, { redirect: "error" });
      if (!answer.ok) throw new Error(answer.status);
      show(await answer.text());
      cut.hidden = true;
    } catch {
      cut.hidden = false;
    }
    if (active()) setTimeout(look, EVERY_MS);
  }

  if (active()) setTimeout(look, EVERY_MS);
}

function offer(form) {
  const action = form.querySelector("select[name=action]");
  const describe = () => {
    for (const input of form.querySelectorAll("[data-of]")) {
      input.closest("label").hidden = input.dataset.of !== action.value;
    }
  };
  action.addEventListener("change", describe);
  describe();
}

document.addEventListener("DOMContentLoaded", () => {
  const panel = document.getElementById("operation");
  if (panel) follow(panel);
  const form = document.getElementById("changelist-form");
  if (form?.querySelector("[data-of]")) offer(form);
});
