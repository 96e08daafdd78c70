// Update a schedule's page after each event: at most twice a second, and each open page costs at most
// 5 % of a web process.

import "./dialogs.js";
import { keepUpdated } from "./live_list.js";

const page = document.getElementById("schedule");
const refreshSoon = keepUpdated(page, ["events", "stream-reset"], { pauseMs: 500, gatherMs: 250, share: 20 });

// The progress of a back-fill has no events for users who may not see tasks.
const PROGRESS_MS = 1000;
setInterval(() => page.querySelector(".backfills [data-active]") && refreshSoon(), PROGRESS_MS);

// The button of a back-fill has the number of runs. It belongs to the range until the range changes.
document.querySelector("#backfill form")?.addEventListener("input", (event) => {
  event.currentTarget.querySelector("[type=submit]").disabled = true;
});
