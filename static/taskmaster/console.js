// Show the output of an attempt live, in the console of a task's page.

import { OutputTerminal } from "./terminal.js";

const LONGEST_PAUSE_MS = 15000;

/** Connect the console's card. `notify(text, ok)` shows the result of a command. */
export function openConsole(card, notify) {
  const screen = card.querySelector(".screen");
  const empty = card.querySelector(".empty");
  const state = card.querySelector(".state");
  const choice = card.querySelector("select");
  const follow = card.querySelector(".follow");
  const remark = card.querySelector(".note");
  let terminal = null;
  let socket = null;
  let cursor = null;
  let lastNote = "";
  let pause = 500;
  let waiting = []; // Notes and frames of output that are not shown yet.
  let showing = false;
  let current = null; // The frame that is being shown.
  let printed = false;
  let timer = 0;

  const setState = (text) => { if (state.textContent !== text) state.textContent = text; };

  /** Return the terminal. It is created when there is something to show. */
  function open() {
    if (!terminal) {
      empty.hidden = true;
      screen.hidden = false;
      terminal = new OutputTerminal(screen, (following) => follow.setAttribute("aria-pressed", String(following)));
    }
    return terminal;
  }

  async function show() {
    if (showing) return;
    showing = true;
    while (waiting.length) {
      // A hidden page shows nothing, so the server stops sending.
      await new Promise(requestAnimationFrame);
      const next = waiting.shift();
      if (!next) continue;
      if (next.clear) terminal?.clear();
      else if (next.note) await open().note(next.note);
      else await (current = showOutput(next));
      remark.hidden = !terminal?.isFull;
    }
    showing = false;
  }

  async function showOutput(frame) {
    for (const { stream, text } of frame.chunks) await open().write(stream, text);
    if (frame.choice !== choice.value) return;
    cursor = frame.cursor;
    // The server waits for the acknowledgement, so it does not flood a slow page.
    if (frame.from === socket && socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "ack", cursor }));
  }

  function add(item) {
    waiting.push(item);
    show();
  }

  const handlers = {
    attempt({ attempt, worker, status }) {
      addAttempts(attempt);
      const note = `attempt ${attempt}${worker ? ` on ${worker}` : ""}`;
      // The server repeats this message after a reconnect.
      if (note !== lastNote) add({ note });
      lastNote = note;
      setState(status === "started" ? "Live" : "");
    },
    output(frame) {
      pause = 500;
      printed = true;
      add({ ...frame, from: socket, choice: choice.value });
    },
    status({ status }) {
      setState(status === "started" ? "Live" : `Task is ${status}`);
    },
    end() {
      pause = 500;
      setState(printed ? "Ended" : "Ended without output");
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
      timer = setTimeout(reconnect, pause * (0.75 + Math.random() / 2));
      pause = Math.min(LONGEST_PAUSE_MS, 2 * pause);
    };
  }

  /** Continue after what is shown. Frames that wait are sent again. */
  async function reconnect() {
    waiting = waiting.filter((item) => !item.chunks);
    await current;
    connect();
  }

  function restart() {
    cursor = null;
    lastNote = "";
    printed = false;
    waiting = [];
    const old = socket;
    socket = null;
    old?.close();
    add({ clear: true });
    connect();
  }

  /** Add all attempts up to the newest one to the selection. */
  function addAttempts(newest) {
    for (let number = choice.options.length; number <= newest; number += 1) choice.add(new Option(number, number));
  }

  choice.addEventListener("change", restart);
  follow.addEventListener("click", () => terminal?.setFollowing(!terminal.following));
  addEventListener("pagehide", () => { const old = socket; socket = null; old?.close(); });
  addEventListener("pageshow", (event) => event.persisted && reconnect());
  connect();
  return { addAttempts };
}
