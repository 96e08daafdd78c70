// Handle menus, dialogs and keyboard shortcuts of TaskMaster's pages and of the admin.

import "./keys.js";

for (const each of document.querySelectorAll("dialog")) {
  each.addEventListener("click", (event) => event.target === each && each.close());
}

document.addEventListener("click", (event) => {
  const opener = event.target.closest?.("[data-open]");
  if (opener) document.getElementById(opener.dataset.open).showModal();
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target) || opener) menu.open = false;
  }
});
