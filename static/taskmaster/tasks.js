// Update the page of tasks after each event: at most four times a second, and each open page costs at
// most 5 % of a web process.

import "./filter.js";
import { keepUpdated } from "./live_list.js";

const list = document.getElementById("tasks");
keepUpdated(list, ["events", "stream-reset"], { pauseMs: 250, gatherMs: 250, share: 20 });
