"""Provide scripts and output that attack the terminal of a task's page."""

from __future__ import annotations

#: Filters each attack, a list of pieces, for a terminal without handlers. Returns the attacks that
#: leave it in a string, or that give it one.
STRINGS = """async (attacks) => {
  const { Stream } = await import("/static/taskmaster/streams.js");
  const { Terminal } = await import("/static/taskmaster/vendor/xterm.mjs");
  const terminal = new Terminal({ allowProposedApi: true, logLevel: "off" });
  let strings = 0;
  for (const number of [2, 8]) terminal.parser.registerOscHandler(number, () => { strings += 1; });
  const write = (text) => new Promise((done) => terminal.write(text, done));
  const found = [];
  for (const pieces of attacks) {
    terminal.reset();
    strings = 0;
    const stream = new Stream();
    for (const piece of pieces) terminal.write(stream.filter(piece));
    await write("\\r\\nend");
    const buffer = terminal.buffer.active;
    const last = buffer.getLine(buffer.baseY + buffer.cursorY).translateToString(true);
    if (strings || !last.endsWith("end")) found.push(pieces);
  }
  return found;
}"""
#: Each of them makes what follows a string if something between is removed or skipped.
JOINS = (
    *(f"\x1b\x1b{opening}x\x1b\\" for opening in "]PX^_"),
    *(f"\x1b{opening}x\x9c" for opening in "\x9d\x90\x98\x9e\x9f"),
    "\x1b\x1b]x\x07",
    "\x1b\x1b\x1b]x\x07]x\x07",
    "\x1b\r",
    "\x1b\x7f\x00",
)
#: Unfinished sequences that are too long to be kept.
DROPPED = ("\x1b\x1b[" + "1;" * 200, "\x1b\x1b" + "\x00" * 300)
#: Creates a terminal and writes links and colour queries past the filter.
SECOND_LINE = """async () => {
  const { OutputTerminal } = await import("/static/taskmaster/terminal.js");
  const screen = document.createElement("div");
  document.querySelector("main").append(screen);
  const { terminal } = new OutputTerminal(screen, () => {});
  const answers = [];
  terminal.onData((data) => answers.push(data));
  terminal.onTitleChange((title) => answers.push(title));
  const text = "\\x1b]8;;https://example.com\\x07link\\x1b]8;;\\x07\\x1b]2;title\\x07"
    + "\\x1b]4;1;?\\x07\\x1b]10;?\\x07\\x1b]11;?\\x07\\x1b]12;?\\x07\\x1bP$qm\\x1b\\\\";
  await new Promise((done) => terminal.write(text, done));
  const cell = terminal.buffer.active.getLine(0).getCell(0);
  screen.remove();
  return { link: cell.extended.urlId, answers };
}"""
#: Creates a terminal, writes a text, and returns how many rows were deleted, inserted or scrolled.
MOVED_ROWS = """async (text) => {
  const { OutputTerminal } = await import("/static/taskmaster/terminal.js");
  const screen = document.createElement("div");
  document.querySelector("main").append(screen);
  const output = new OutputTerminal(screen, () => {});
  let moved = 0;
  const { lines } = output.terminal._core.buffer;
  lines.onDelete(({ amount }) => { moved += amount; });
  output.terminal.onScroll(() => { moved += 1; });
  await output.write("stdout", text);
  screen.remove();
  return moved;
}"""
