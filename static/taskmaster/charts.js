// Draw the charts of the last hour with uPlot, in the colours of the page.

import { serverNow } from "./times.js";

const HEIGHT = 168;

// Lines of each chart: series (see `statistics.read.Series`), colour, label, whether it is filled.
const SERIES = {
  throughput: [["complete", "complete", "complete", true], ["failed", "failed", "failed", false]],
  wait: [["wait_p50_ms", "running", "p50", false], ["wait_p95_ms", "pending", "p95", false]],
  run: [["run_p50_ms", "running", "p50", false], ["run_p95_ms", "pending", "p95", false]],
};

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function formatNumber(value) {
  if (value == null) return "–";
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
  return value.toFixed(value >= 1 ? 1 : 2);
}

/** Return the labels of a time axis, all in the same unit. */
function axisLabels(splits) {
  const most = splits.at(-1) ?? 0;
  const [unit, size] = most < 1000 ? ["ms", 1] : most < 120000 ? ["s", 1000] : ["min", 60000];
  return splits.map((ms) => `${Number((ms / size).toPrecision(3))} ${unit}`);
}

/** Format milliseconds in a readable unit. */
function formatMs(ms) {
  if (ms == null) return "–";
  if (ms < 1000) return `${formatNumber(ms)} ms`;
  return ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : `${(ms / 60000).toFixed(1)} min`;
}

/** Return the indexes of values between two gaps, which a line does not show. */
function isolated(plot, series) {
  const values = plot.data[series];
  return [...values.keys()].filter((at) => values[at] != null && values[at - 1] == null && values[at + 1] == null);
}

class Chart {
  constructor(card) {
    this.card = card;
    this.series = SERIES[card.dataset.chart];
    this.isTime = card.dataset.unit === "ms";
    this.container = card.querySelector(".plot");
    this.legend = card.querySelector(".legend");
    this.plot = null;
    new ResizeObserver(() => this.resize()).observe(this.container);
  }

  format(value) {
    return this.isTime ? formatMs(value) : formatNumber(value);
  }

  // Convert times to minutes before now, so that the right edge of the chart is always now.
  columns(data) {
    const now = Math.max(serverNow() / 1000, data.at.at(-1) ?? 0);
    return [data.at.map((at) => (at - now) / 60), ...this.series.map(([name]) => data[name])];
  }

  show(data) {
    this.data = data;
    const columns = this.columns(data);
    this.card.classList.toggle("no-data", columns.slice(1).every((values) => values.every((value) => !value)));
    if (this.plot) this.plot.setData(columns);
    else this.draw(columns);
    this.describe(null);
  }

  describe(index) {
    const columns = this.plot.data;
    // Without a pointer, show the newest known value.
    const of = (values) => (index === null ? values.findLast((value) => value != null) : values[index]);
    const entries = this.series.map(([, kind, label], number) => {
      const part = document.createElement("span");
      part.className = kind;
      part.append(label, " ", Object.assign(document.createElement("b"), { textContent: this.format(of(columns[number + 1])) }));
      return part;
    });
    const when = index === null ? "" : `${Math.max(0, Math.round(-columns[0][index]))} min ago `;
    const unit = Object.assign(document.createElement("i"), { className: "unit", textContent: this.isTime ? "" : "per second" });
    this.legend.replaceChildren(when, ...entries, unit);
    if (index === null) this.container.setAttribute("aria-label", `${this.card.querySelector("h2").firstChild.textContent.trim()} in the last hour, now: ${this.legend.textContent}`);
  }

  draw(columns) {
    const line = colour("line");
    const axis = { stroke: colour("faint"), font: "11px system-ui, sans-serif", grid: { stroke: line, width: 1 }, ticks: { show: false } };
    const options = {
      width: this.container.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false, x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: false, range: [-60, 0] },
        // An empty chart needs a range too. Otherwise leave some space above the highest value.
        y: { range: (_, _low, high) => [0, high > 0 ? high * 1.08 : 1] },
      },
      axes: [
        { ...axis, grid: { show: false }, splits: [-60, -45, -30, -15, 0], size: 31, gap: 9, // Below the lowest label of the other axis.
          values: (_, splits) => splits.map((each) => (each === 0 ? "now" : `${-each} min`)) },
        { ...axis, size: this.isTime ? 58 : 44, gap: 6, space: 36, values: (_, splits) => (this.isTime ? axisLabels(splits) : splits.map(formatNumber)) },
      ],
      padding: [12, 22, 0, 4],
      series: [{}, ...this.series.map(([, kind, , filled]) => ({
        stroke: colour(kind), width: 1.75, spanGaps: false,
        points: { show: () => false, filter: isolated, size: 4, fill: colour(kind) },
        fill: filled ? `${colour(kind)}24` : undefined,
      }))],
      hooks: { setCursor: [(plot) => this.describe(plot.cursor.idx ?? null)] },
    };
    this.plot = new uPlot(options, columns, this.container);
  }

  resize() {
    if (this.plot && this.container.clientWidth) this.plot.setSize({ width: this.container.clientWidth, height: HEIGHT });
  }

  repaint() {
    if (!this.plot) return;
    this.plot.destroy();
    this.plot = null;
    this.show(this.data);
  }
}

const charts = [...document.querySelectorAll("[data-chart]")].map((card) => new Chart(card));

/** Draw the series in all charts. */
export function showCharts(data) {
  for (const chart of charts) chart.show(data);
}

addEventListener("taskmaster:theme", () => charts.forEach((chart) => chart.repaint()));
