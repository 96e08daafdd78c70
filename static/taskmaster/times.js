// Update ages: the server renders times, and the browser computes the seconds since then.

const TICK_MS = 1000;
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

// Difference between the server's clock and this one, in milliseconds.
let offset = 0;

/** Set the server's time, in milliseconds since 1970. */
export function setServerTime(now) {
  offset = now - Date.now();
}

export function serverNow() {
  return Date.now() + offset;
}

/** Format seconds in a suitable unit: 3 s, 12 min, 3.5 h, 2 days. */
export function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

const pad = (number, digits = 2) => String(number).padStart(digits, "0");

/** Format the local time of day: 14:02:31. */
export function clock(when) {
  return `${pad(when.getHours())}:${pad(when.getMinutes())}:${pad(when.getSeconds())}`;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Update every time below `root`. */
export function tick(root = document) {
  const now = serverNow();
  for (const element of root.querySelectorAll("time[data-ago], time[data-span]")) {
    const seconds = (now - Date.parse(element.dateTime)) / 1000;
    // Clocks may differ by a second.
    if (seconds < -1) write(element, `in ${duration(-seconds)}`);
    else if ("ago" in element.dataset) write(element, seconds < 1 ? "now" : `${duration(seconds)} ago`);
    else write(element, duration(Math.max(0, seconds)));
  }
  for (const element of root.querySelectorAll("time[data-clock]")) {
    const when = new Date(element.dateTime);
    const format = element.dataset.clock;
    if (format === "day") write(element, `${when.getDate()} ${MONTHS[when.getMonth()]} ${clock(when).slice(0, 5)}`);
    else write(element, format === "s" ? clock(when) : `${clock(when)}.${pad(when.getMilliseconds(), 3)}`);
    element.title ||= when.toLocaleString();
  }
}

setInterval(() => document.hidden || tick(), TICK_MS);
