// Show the output of an attempt live, in the console of a task's page.

import { Terminal } from "./ansi.js";

const MOST_LINES = 5000;
const MOST_CHARACTERS = 2_000_000;
const FOLD = 2000; // Characters of a row. A longer line continues in the next row.
const LONGEST_PAUSE_MS = 15000;
const AT_END = 24; // Maximum distance in pixels from the end that counts as the end.

/** Show the newest rows of the output. */
class Screen {
  constructor(element) {
    this.element = element;
    this.clear();
  }

  clear() {
    this.element.replaceChildren();
    this.terminals = {};
    this.line = null;
    this.characters = 0;
    this.dropped = null;
  }

  write(stream, text) {
    if (this.line && this.line.stream !== stream) this.line = null;
    this.terminals[stream] ??= new Terminal();
    this.terminals[stream].write(text, {
      text: (part, classes) => this.#text(stream, part, classes),
      newline: () => { if (!this.line) this.#open(stream); this.line = null; },
      restart: () => { if (this.line) this.line.stale = true; },
    });
    this.#trim();
  }

  note(text) {
    this.#open("note").span.append(text);
    this.line = null;
  }

  #open(stream, more = "") {
    const row = newRow(`${stream}${more}`);
    this.element.append(row);
    this.line = { stream, row, span: row.firstChild, length: 0, stale: false };
    return this.line;
  }

  #text(stream, part, classes) {
    if (this.line?.stale) {
      // A progress bar overwrites its line.
      this.characters -= this.line.length;
      this.line.span.replaceChildren();
      Object.assign(this.line, { length: 0, stale: false });
    }
    let rest = part;
    while (rest) {
      if (!this.line) this.#open(stream);
      if (this.line.length >= FOLD) this.#open(stream, " cont");
      const piece = rest.slice(0, FOLD - this.line.length);
      rest = rest.slice(piece.length);
      this.line.length += piece.length;
      this.characters += piece.length;
      if (classes) {
        const styled = document.createElement("span");
        styled.className = classes;
        styled.append(piece);
        this.line.span.append(styled);
      } else this.line.span.append(piece);
    }
  }

  #trim() {
    const rows = this.element;
    while (rows.childElementCount > MOST_LINES || this.characters > MOST_CHARACTERS) {
      const oldest = this.dropped ? rows.children[1] : rows.firstElementChild;
      if (!oldest || oldest === this.line?.row) break;
      this.characters -= oldest.textContent.length;
      oldest.remove();
      if (!this.dropped) {
        this.dropped = newRow("note");
        this.dropped.firstChild.append("Earlier lines are not shown. Open the full output to see them.");
        rows.prepend(this.dropped);
      }
    }
  }
}

function newRow(classes) {
  const row = document.createElement("div");
  row.className = `line ${classes}`;
  row.append(document.createElement("span"));
  return row;
}

/** Connect the console's card. `notify(text, ok)` shows the result of a command. */
export function openConsole(card, notify) {
  const screen = new Screen(card.querySelector(".screen"));
  const state = card.querySelector(".state");
  const choice = card.querySelector("select");
  const follow = card.querySelector(".follow");
  let socket = null;
  let cursor = null;
  let lastNote = "";
  let pause = 500;
  let frames = [];
  let following = true;
  let timer = 0;

  const setState = (text) => { if (state.textContent !== text) state.textContent = text; };

  function setFollowing(enabled) {
    following = enabled;
    follow.setAttribute("aria-pressed", String(enabled));
    if (enabled) screen.element.scrollTop = screen.element.scrollHeight;
  }

  function show() {
    const batch = frames;
    frames = [];
    for (const frame of batch) for (const { stream, text } of frame.chunks) screen.write(stream, text);
    if (following) screen.element.scrollTop = screen.element.scrollHeight;
    // The server waits for the acknowledgement, so it does not flood a slow or hidden page.
    for (const frame of batch) {
      cursor = frame.cursor;
      if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "ack", cursor }));
    }
  }

  const handlers = {
    attempt({ attempt, worker, status }) {
      addAttempts(attempt);
      const note = `attempt ${attempt}${worker ? ` on ${worker}` : ""}`;
      // The server repeats this message after a reconnect.
      if (note !== lastNote) screen.note(note);
      lastNote = note;
      setState(status === "started" ? "Live" : "");
    },
    output(frame) {
      pause = 500;
      if (!frames.length) requestAnimationFrame(show);
      frames.push(frame);
    },
    status({ status }) {
      setState(status === "started" ? "Live" : `Task is ${status}`);
    },
    end() {
      pause = 500;
      setState(screen.element.childElementCount > 1 || frames.length ? "Ended" : "Ended without output");
    },
    answer({ ok, text }) {
      notify(text, ok);
    },
  };

  function connect() {
    clearTimeout(timer);
    const query = new URLSearchParams();
    if (choice.value) query.set("attempt", choice.value);
    if (cursor) query.set("after", cursor);
    const opened = new WebSocket(`${location.origin.replace(/^http/, "ws")}${card.dataset.socket}?${query}`);
    socket = opened;
    opened.onopen = () => setState("Connected");
    opened.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (socket === opened) handlers[message.type]?.(message);
    };
    opened.onclose = (event) => {
      if (socket !== opened) return;
      if (event.code === 4401) return location.reload();
      if (event.code === 4403) return setState("Viewing output requires the permission taskmaster_tasks.view_task");
      if (event.code === 4404) return setState("The task does not exist");
      setState("Reconnecting…");
      timer = setTimeout(connect, pause * (0.75 + Math.random() / 2));
      pause = Math.min(LONGEST_PAUSE_MS, 2 * pause);
    };
  }

  function restart() {
    cursor = null;
    lastNote = "";
    frames = [];
    screen.clear();
    const old = socket;
    socket = null;
    old?.close();
    connect();
  }

  /** Add all attempts up to the newest one to the selection. */
  function addAttempts(newest) {
    for (let number = choice.options.length; number <= newest; number += 1) choice.add(new Option(number, number));
  }

  choice.addEventListener("change", restart);
  follow.addEventListener("click", () => setFollowing(!following));
  screen.element.addEventListener("wheel", (event) => event.deltaY < 0 && setFollowing(false), { passive: true });
  screen.element.addEventListener("scroll", () => {
    const { scrollTop, scrollHeight, clientHeight } = screen.element;
    if (!following && scrollHeight - scrollTop - clientHeight < AT_END) setFollowing(true);
  });
  screen.element.addEventListener("keydown", (event) => {
    if (["PageUp", "ArrowUp", "Home"].includes(event.key)) setFollowing(false);
  });
  addEventListener("pagehide", () => { const old = socket; socket = null; old?.close(); });
  addEventListener("pageshow", (event) => event.persisted && connect());
  connect();
  return { addAttempts };
}
