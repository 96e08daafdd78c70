// Update a schedule's page after each event: at most twice a second, and each open page costs at most
// 5 % of a web process.

import "./dialogs.js";
import { keepUpdated } from "./live_list.js";

const page = document.getElementById("schedule");
keepUpdated(page, ["events", "stream-reset"], { pauseMs: 500, gatherMs: 250, share: 20 });
