// Show the state of the links behind a page: page to web, web to database, coordinators, workers.

import { clock, duration } from "./times.js";
import { showToast } from "./ui.js";

const BACK_MS = 10000; // How long a page says that a link is back.

const light = document.querySelector(".light");
const banner = document.querySelector(".banner");
const rows = [...light.querySelectorAll(".chain li")];
const marks = light.dataset.marks;

let links = null; // The newest keep-alive.
let receivedAt = Date.now(); // Time of the newest message.
let connected = false;
let lost = false; // The server does not answer.
let fault = null; // The first broken link: key, since, and what the page says about it.
let outage = null; // The first link that is away since the page was live.
let back = null; // The link that is back, until a time.
let blocked = "";

const since = (age) => new Date(receivedAt - 1000 * (age ?? 0));
const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

/** Return the first broken link, or null. */
function findFault() {
  if (lost) return { key: "server", state: "down", title: "Server away", what: "does not answer", since: since(0), more: "The page shows the state of that time, and reconnects by itself." };
  if (!links) return null;
  const { database, coordinators, workers } = links;
  if (database.error) return { key: "database", state: "down", title: "Database away", what: "does not answer", since: since(database.age_s), more: "The page shows the state of that time. Nothing can be changed until the database is back." };
  if (coordinators && coordinators.online === coordinators.silent) return { key: "coordinator", state: "down", title: "No coordinator", what: "answers", since: since(coordinators.age_s), more: "Tasks are accepted and wait. Running tasks continue." };
  if (coordinators?.silent) return silent("coordinator", coordinators, "If they stay silent, the others take over their tasks.");
  if (workers?.silent) return silent("worker", workers, "If they stay silent, their tasks are rescued.");
  return null;
}

function silent(noun, group, more) {
  return { key: `${noun}s`, state: "stale", title: `${count(group.silent, noun)} silent`, what: `${group.silent} of ${count(group.online, noun)} silent`, since: since(group.age_s), more };
}

function sentence({ key, what, since: start }) {
  const at = clock(start);
  if (key === "server" || key === "database") return `The ${key} ${what} since ${at}.`;
  return key === "coordinator" ? `No coordinator ${what} since ${at}.` : `${what} since ${at}.`;
}

function setMark(element, name) {
  element.querySelector("use").setAttribute("href", `${marks}#${name}`);
}

function showBanner(state, mark, headline, more) {
  banner.hidden = !headline;
  const text = `${headline} ${more}`;
  if (!headline || banner.dataset.text === text) return;
  banner.dataset.text = text;
  banner.className = `banner ${state}`;
  setMark(banner, mark);
  banner.querySelector("b").textContent = headline;
  banner.querySelector("span").textContent = more;
}

function showRow(row, state, text) {
  const mark = { unknown: "unknown", failed: "failed", pending: "attention" }[state] ?? "complete";
  row.className = state;
  setMark(row, mark);
  row.lastElementChild.textContent = text;
}

function showGroup(row, group, waited) {
  if (lost || !group) return showRow(row, "unknown", "unknown");
  const state = !group.silent ? "complete" : group.silent === group.online ? "failed" : "pending";
  const seen = group.age_s === null ? "never seen" : `${duration(group.age_s + waited)} ago`;
  return showRow(row, group.online ? state : "unknown", `${group.online - group.silent} of ${group.online}, ${seen}`);
}

function showChain() {
  const waited = (Date.now() - receivedAt) / 1000;
  const [page, database, coordinators, workers] = rows;
  showRow(page, lost ? "failed" : connected ? "complete" : "unknown", connected || lost ? `${duration(waited)} ago` : "connecting");
  if (lost || !links) showRow(database, "unknown", "unknown");
  else showRow(database, links.database.error ? "failed" : "complete", `${links.database.error && `${links.database.error}, `}${duration(links.database.age_s + waited)} ago`);
  showGroup(coordinators, links?.coordinators, waited);
  showGroup(workers, links?.workers, waited);
}

function show() {
  const found = findFault();
  // Keep the time at which the link broke: later messages may not know it.
  fault = found && found.key === fault?.key ? { ...found, since: fault.since } : found;
  if (fault?.state === "down") {
    // After an outage of the database, the coordinators are away for a moment, too.
    outage ??= fault;
  } else if (outage) {
    const seconds = (Date.now() - outage.since) / 1000;
    back = { until: Date.now() + BACK_MS, text: `The ${outage.key} answers again.`, more: `It was away for ${duration(seconds)}.` };
    outage = null;
  }
  if (back && fault) back.until = Date.now() + BACK_MS; // Shown after the fault.
  else if (back?.until < Date.now()) back = null;

  blocked = ["server", "database"].includes(fault?.key) ? sentence(fault) : "";
  document.querySelector("main").classList.toggle("stale", Boolean(blocked));
  document.body.classList.toggle("no-coordinator", fault?.key === "coordinator");
  light.dataset.state = fault ? fault.state : connected ? "live" : "connecting";
  setMark(light.querySelector("summary"), fault?.state === "down" ? "failed" : "attention");
  const [word, age] = light.querySelectorAll("summary span, summary small");
  word.textContent = fault ? fault.title : connected ? "Live" : "Connecting";
  age.textContent = fault ? duration((Date.now() - fault.since) / 1000) : "";
  if (fault) showBanner(fault.state === "down" ? "failed" : "pending", fault.state === "down" ? "failed" : "attention", sentence(fault), fault.more);
  else showBanner("complete", "complete", back?.text ?? "", back?.more ?? "");
  showChain();
}

/** Record that the page connects. */
export function connecting() {
  connected = false;
  if (!lost) receivedAt = Date.now();
  show();
}

/** Record a message of the server, with the state of the links if it has one. */
export function alive(state) {
  receivedAt = Date.now();
  connected = true;
  lost = false;
  links = state ?? links;
  show();
}

/** Record that the server does not answer. */
export function serverLost() {
  connected = false;
  lost = true;
  show();
}

// While a change is not possible, say so instead of sending it.
for (const type of ["click", "submit"]) {
  document.addEventListener(type, (event) => {
    const changing = type === "submit" ? event.target.matches("[hx-post], [method=post]") : event.target.closest?.("button[hx-post]");
    if (!blocked || !changing) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    showToast(`${blocked} Nothing was changed.`, false);
  }, true);
}

setInterval(() => document.hidden || show(), 1000);
