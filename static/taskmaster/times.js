// Times that pass: the server writes moments, the browser counts the seconds from them.

const TICK_MS = 1000;

// What this clock must be moved by to agree with the server's, in milliseconds.
let offset = 0;

/** Takes the server's time, in milliseconds since 1970. */
export function setServerTime(now) {
  offset = now - Date.now();
}

export function serverNow() {
  return Date.now() + offset;
}

/** A span of time in the unit that fits: 3 s, 12 min, 3.5 h, 2 days. */
export function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

const pad = (number, digits = 2) => String(number).padStart(digits, "0");

/** The time of day here, 14:02:31. */
export function clock(when) {
  return `${pad(when.getHours())}:${pad(when.getMinutes())}:${pad(when.getSeconds())}`;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Brings every time below `root` up to date. */
export function tick(root = document) {
  const now = serverNow();
  for (const element of root.querySelectorAll("time[data-ago], time[data-span]")) {
    const seconds = (now - Date.parse(element.dateTime)) / 1000;
    // A second is what clocks may differ by.
    if (seconds < -1) write(element, `in ${duration(-seconds)}`);
    else if ("ago" in element.dataset) write(element, seconds < 1 ? "now" : `${duration(seconds)} ago`);
    else write(element, duration(Math.max(0, seconds)));
  }
  for (const element of root.querySelectorAll("time[data-clock]")) {
    const when = new Date(element.dateTime);
    write(element, `${clock(when)}.${pad(when.getMilliseconds(), 3)}`);
    element.title ||= when.toLocaleString();
  }
}

setInterval(() => document.hidden || tick(), TICK_MS);
