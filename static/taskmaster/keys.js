// Handle keyboard shortcuts. templates/taskmaster/keys.html lists them.

const CHORD_MS = 1500;

let chordBegan = 0;

function isTyping(element) {
  return element.matches?.("input, textarea, select, [contenteditable]") || document.querySelector("dialog[open]");
}

function rows() {
  return [...document.querySelectorAll("#tasks tbody a, #schedules tbody .lead a, #result_list tbody th a")];
}

function move(step) {
  const links = rows();
  const at = links.indexOf(document.activeElement);
  const next = links[at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + step))];
  next?.focus();
}

function focusSearch() {
  const field = document.getElementById("find") ?? document.getElementById("searchbar");
  field?.focus();
  field?.select();
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target.id === "find") return event.target.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const inChord = performance.now() - chordBegan < CHORD_MS;
  chordBegan = 0;
  const link = inChord && document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
  if (link) link.click();
  else if (event.key === "g") chordBegan = performance.now();
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "/") focusSearch();
  else if (event.key === "?") document.getElementById("keys")?.showModal();
  else return;
  event.preventDefault();
});
