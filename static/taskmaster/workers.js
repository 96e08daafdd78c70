// Update the page of workers after each change: at most twice a second.

import "./filter.js";
import { keepUpdated } from "./live_list.js";

const list = document.getElementById("worker-list");
keepUpdated(list, ["fragments"], { pauseMs: 500, gatherMs: 0, share: 10 });
