// The charts of the last hour, drawn by uPlot in the colours of the page.

import { serverNow } from "./times.js";

const HEIGHT = 168;

// Of each chart: the series of `tasks.statistics.Series` with their colour and word.
const SERIES = {
  throughput: [["complete", "complete", "complete", true], ["failed", "failed", "failed", false]],
  wait: [["wait_p50_ms", "running", "p50", false], ["wait_p95_ms", "pending", "p95", false]],
  run: [["run_p50_ms", "running", "p50", false], ["run_p95_ms", "pending", "p95", false]],
};

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function digits(value) {
  if (value == null) return "–";
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
  return value.toFixed(value >= 1 ? 1 : 2);
}

/** The same for an axis: one unit for all its marks. */
function marks(splits) {
  const most = splits.at(-1) ?? 0;
  const [unit, size] = most < 1000 ? ["ms", 1] : most < 120000 ? ["s", 1000] : ["min", 60000];
  return splits.map((ms) => `${Number((ms / size).toPrecision(3))} ${unit}`);
}

/** Milliseconds as a person says them. */
function span(ms) {
  if (ms == null) return "–";
  if (ms < 1000) return `${digits(ms)} ms`;
  return ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : `${(ms / 60000).toFixed(1)} min`;
}

/** The values between two gaps, which no line would show. */
function alone(plot, series) {
  const values = plot.data[series];
  return [...values.keys()].filter((at) => values[at] != null && values[at - 1] == null && values[at + 1] == null);
}

class Chart {
  constructor(card) {
    this.card = card;
    this.series = SERIES[card.dataset.chart];
    this.isSpan = card.dataset.unit === "ms";
    this.place = card.querySelector(".plot");
    this.legend = card.querySelector(".legend");
    this.plot = null;
    new ResizeObserver(() => this.resize()).observe(this.place);
  }

  say(value) {
    return this.isSpan ? span(value) : digits(value);
  }

  // Moments become minutes before now: the right edge stays where it is.
  columns(data) {
    const now = Math.max(serverNow() / 1000, data.at.at(-1) ?? 0);
    return [data.at.map((at) => (at - now) / 60), ...this.series.map(([name]) => data[name])];
  }

  show(data) {
    this.data = data;
    const columns = this.columns(data);
    this.card.classList.toggle("nothing", columns.slice(1).every((values) => values.every((value) => !value)));
    if (this.plot) this.plot.setData(columns);
    else this.draw(columns);
    this.describe(null);
  }

  describe(index) {
    const columns = this.plot.data;
    // Without a pointer: the newest that is known.
    const of = (values) => (index === null ? values.findLast((value) => value != null) : values[index]);
    const words = this.series.map(([, kind, word], number) => {
      const part = document.createElement("span");
      part.className = kind;
      part.append(word, " ", Object.assign(document.createElement("b"), { textContent: this.say(of(columns[number + 1])) }));
      return part;
    });
    const when = index === null ? "" : `${Math.max(0, Math.round(-columns[0][index]))} min ago `;
    const unit = Object.assign(document.createElement("i"), { className: "unit", textContent: this.isSpan ? "" : "per second" });
    this.legend.replaceChildren(when, ...words, unit);
    if (index === null) this.place.setAttribute("aria-label", `${this.card.querySelector("h2").firstChild.textContent.trim()} in the last hour, now: ${this.legend.textContent}`);
  }

  draw(columns) {
    const line = colour("line");
    const axis = { stroke: colour("faint"), font: "11px system-ui, sans-serif", grid: { stroke: line, width: 1 }, ticks: { show: false } };
    const options = {
      width: this.place.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false, x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: false, range: [-60, 0] },
        // An empty chart has a height too; a full one some room above.
        y: { range: (_, _low, high) => [0, high > 0 ? high * 1.08 : 1] },
      },
      axes: [
        { ...axis, grid: { show: false }, splits: [-60, -45, -30, -15, 0], size: 26, gap: 4,
          values: (_, splits) => splits.map((each) => (each === 0 ? "now" : `${-each} min`)) },
        { ...axis, size: this.isSpan ? 58 : 44, gap: 6, space: 36, values: (_, splits) => (this.isSpan ? marks(splits) : splits.map(digits)) },
      ],
      padding: [12, 22, 0, 4],
      series: [{}, ...this.series.map(([, kind, , filled]) => ({
        stroke: colour(kind), width: 1.75, spanGaps: false,
        points: { show: () => false, filter: alone, size: 4, fill: colour(kind) },
        fill: filled ? `${colour(kind)}24` : undefined,
      }))],
      hooks: { setCursor: [(plot) => this.describe(plot.cursor.idx ?? null)] },
    };
    this.plot = new uPlot(options, columns, this.place);
  }

  resize() {
    if (this.plot && this.place.clientWidth) this.plot.setSize({ width: this.place.clientWidth, height: HEIGHT });
  }

  repaint() {
    if (!this.plot) return;
    this.plot.destroy();
    this.plot = null;
    this.show(this.data);
  }
}

const charts = [...document.querySelectorAll("[data-chart]")].map((card) => new Chart(card));

/** Draws the series; the names are those of `tasks.statistics.Series`. */
export function showCharts(data) {
  for (const chart of charts) chart.show(data);
}

addEventListener("taskmaster:theme", () => charts.forEach((chart) => chart.repaint()));
