// A chart of days, drawn by uPlot, which is loaded when the first one is drawn: the
// other views do without.

const UPLOT_JS = "/assets/uplot.min.js";
const UPLOT_CSS = "/assets/uplot.min.css";

let plotter = null;
function loadPlotter() {
  plotter ??= new Promise((done, failed) => {
    const css = document.createElement("link");
    css.rel = "stylesheet";
    css.setAttribute("href", UPLOT_CSS);
    const script = document.createElement("script");
    script.onload = () => done(globalThis.uPlot);
    script.onerror = () => failed(new Error("the chart's file could not be loaded"));
    script.src = scriptURL(UPLOT_JS);
    document.head.append(css, script);
  });
  return plotter;
}

// scriptURL passes our own constant through Trusted Types, which the page's
// policy requires for a script's address.
function scriptURL(path) {
  return globalThis.trustedTypes ? trustedTypes.createPolicy("rollcall-uplot", { createScriptURL: () => path }).createScriptURL(path) : path;
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// dayChart draws two series over days: bars, and a dashed line. init is for the
// element that it fills; set takes [days in seconds, bars, line].
export function dayChart({ signal, bars, line, failed }) {
  let chart = null;
  let data = [[], [], []];

  function options(Plot, el) {
    const axis = { stroke: color("--dim"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line") } };
    const barsPath = Plot.paths.bars({ size: [0.6, 40] });
    return {
      width: el.clientWidth || 600, height: 260, tzDate: (ts) => Plot.tzDate(new Date(ts * 1000), "UTC"),
      legend: { show: false }, cursor: { drag: { x: false, y: false } },
      scales: { x: { range: (_, min, max) => [min - 43200, max + 43200] }, y: { range: (_, __, max) => [0, Math.max(1, max * 1.08)] } },
      axes: [{ ...axis, values: "{MMM} {D}", incrs: [1, 2, 5, 7, 14, 28, 56, 112].map((d) => d * 86400) }, { ...axis, size: 64, label: "minutes", labelSize: 18 }],
      series: [{}, { label: bars, fill: color("--bar"), stroke: color("--bar"), paths: barsPath, points: { show: false } },
        { label: line, stroke: color("--warn"), width: 2, dash: [6, 4], points: { show: true, size: 5 } }],
    };
  }

  async function init(el) {
    let Plot;
    try {
      Plot = await loadPlotter();
    } catch (err) {
      return failed(err);
    }
    if (signal.aborted) return;
    const make = () => {
      chart?.destroy();
      chart = new Plot(options(Plot, el), data, el);
    };
    make();
    const resize = new ResizeObserver(() => chart.setSize({ width: el.clientWidth, height: 260 }));
    resize.observe(el);
    addEventListener("themechange", make, { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", make, { signal });
    signal.addEventListener("abort", () => {
      resize.disconnect();
      chart.destroy();
    });
  }

  return {
    init,
    set: (now) => {
      data = now;
      chart?.setData(now);
    },
  };
}
