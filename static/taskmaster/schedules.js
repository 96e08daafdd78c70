// Update the page of schedules after each event: at most twice a second, and each open page costs at
// most 5 % of a web process.

import "./copy.js";
import "./filter.js";
import "./dialogs.js";
import { keepUpdated } from "./live_list.js";

const list = document.getElementById("schedules");
keepUpdated(list, ["events", "stream-reset"], { pauseMs: 500, gatherMs: 250, share: 20 });
