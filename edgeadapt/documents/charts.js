"use strict";

// The figures are in the page itself; this draws them, and draws them anew in another colour scheme.
const { records, pruned } = JSON.parse(document.getElementById("figures").textContent);
const several = records.length > 1;
// Eight colours that stay apart in every kind of colour vision (Okabe and Ito 2008), without the
// yellow and the black that one of the two schemes would swallow.
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const dashes = ["solid", "dash", "dot", "dashdot"];
const symbols = ["circle", "square", "diamond", "triangle-up", "cross", "star"];

const all = records.flatMap((record, at) =>
  record.rows.map((row, number) => ({
    ...row, at, colour: colours[number % colours.length], record,
    title: plain(row.bundle + ":" + row.variant + (several ? " · " + record.name : "")),
  })));

// Plotly obeys some HTML in names, and %{…} in what it shows on hovering. Control and format
// characters are shown by their code, as in the tables.
function plain(text) {
  return text.replace(/[&<>{}]/g, (sign) => "&#" + sign.codePointAt(0) + ";")
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (sign) => "\\u{" + sign.codePointAt(0).toString(16) + "}");
}

function style(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function draw(id, traces, layout) {
  const axis = { gridcolor: style("--line"), zerolinecolor: style("--line"), automargin: true };
  const target = document.getElementById(id);
  if (!target) return;
  if (!traces.length) { target.closest("figure").hidden = true; return; }
  Plotly.react(target, traces, {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: style("--text"), size: 12, family: "system-ui, sans-serif" },
    margin: { l: 50, r: 10, t: 10, b: 45 }, hovermode: "closest", showlegend: true,
    legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", font: { size: 11 } },
    ...layout,
    xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis },
  }, { responsive: true, displaylogo: false, displayModeBar: false });
}

function line(row, x, y, extra = {}) {
  return {
    name: row.title, x, y, mode: "lines+markers",
    line: { color: row.colour, dash: dashes[row.at % dashes.length] },
    marker: { symbol: symbols[row.at % symbols.length], size: 7 }, ...extra,
  };
}

function lengths(row) {
  return Object.keys(row.latency_ms).filter((name) => /^\d+$/.test(name)).sort((a, b) => a - b);
}

function pareto() {
  const rows = all.filter((row) => row.accuracy !== null && row.latency_ms.text);
  const points = rows.map((row) => ({
    name: row.title, x: [row.latency_ms.text.p50], y: [100 * row.accuracy], mode: "markers",
    marker: { color: row.colour, size: 11, symbol: symbols[row.at % symbols.length] },
    error_x: bars(row.latency_ms.text.p50, row.latency_ms.text.p50_interval),
    error_y: bars(100 * row.accuracy, row.accuracy_interval.map((end) => 100 * end)),
    hovertemplate: "%{x:.2f} ms<br>%{y:.2f} %<extra>" + row.title + "</extra>",
  }));
  const fronts = records.flatMap((record, at) => {
    const best = rows.filter((row) => row.at === at && row.is_pareto)
      .sort((a, b) => a.latency_ms.text.p50 - b.latency_ms.text.p50);
    return best.length < 2 ? [] : [{
      name: "front" + (several ? " · " + plain(record.name) : ""), mode: "lines", hoverinfo: "skip",
      x: best.map((row) => row.latency_ms.text.p50), y: best.map((row) => 100 * row.accuracy),
      line: { color: style("--faint"), dash: dashes[at % dashes.length], width: 1 },
    }];
  });
  draw("pareto", [...fronts, ...points], {
    xaxis: { title: { text: "ms per text, p50" }, type: "log" },
    yaxis: { title: { text: "accuracy, %" } },
  });
}

function bars(value, interval) {
  if (!interval) return undefined;
  return {
    type: "data", symmetric: false, array: [interval[1] - value], arrayminus: [value - interval[0]],
    thickness: 1, width: 3,
  };
}

function byLength() {
  draw("by-length", all.filter((row) => lengths(row).length).map((row) => {
    const names = lengths(row), found = names.map((name) => row.latency_ms[name]);
    return line(row, names.map(Number), found.map((one) => one.p50), {
      error_y: {
        type: "data", symmetric: false, thickness: 1, width: 3,
        array: found.map((one) => one.p50_interval ? one.p50_interval[1] - one.p50 : 0),
        arrayminus: found.map((one) => one.p50_interval ? one.p50 - one.p50_interval[0] : 0),
      },
    });
  }), {
    xaxis: { title: { text: "tokens" }, type: "log", tickvals: all.flatMap((row) => lengths(row).map(Number)) },
    yaxis: { title: { text: "ms, p50" }, type: "log" },
  });
}

function memory() {
  const rows = all.filter((row) => row.peak_mb !== null);
  const parts = [
    ["libraries and tokenizer", (row) => row.import_mb, 5],
    ["model and work, at the peak", (row) => row.peak_mb - row.import_mb, 0],
  ];
  draw("memory", rows.length ? parts.map(([name, value, colour]) => ({
    name, type: "bar", orientation: "h", y: rows.map((row) => row.title), x: rows.map(value),
    marker: { color: colours[colour] }, hovertemplate: "%{x:.0f} MB<extra>" + name + "</extra>",
  })) : [], {
    barmode: "stack", xaxis: { title: { text: "MB" } }, yaxis: { autorange: "reversed" },
  });
}

function growth() {
  draw("growth", all.filter((row) => Object.keys(row.peak_mb_after).length).map((row) => {
    // Keys that are numbers come first in an object, whatever was written first.
    const { loaded, text, ...byTokens } = row.peak_mb_after;
    const { loaded: again, ...byBatch } = row.peak_mb_at_batch;
    const moments = [
      ["loaded", loaded],
      ...Object.entries(byTokens).map(([name, mb]) => [name + " tokens", mb]),
      ["real texts", text],
      ...Object.entries(byBatch).map(([name, mb]) => ["batch " + name, mb]),
    ].filter(([, mb]) => mb !== undefined);
    return line(row, moments.map(([name]) => name), moments.map(([, mb]) => mb));
  }), { xaxis: { type: "category" }, yaxis: { title: { text: "MB" }, rangemode: "tozero" } });
}

function distribution() {
  const scenario = document.getElementById("scenario").value;
  draw("distribution", all.filter((row) => row.quantiles[scenario]).map((row) =>
    line(row, row.quantiles[scenario], row.quantiles[scenario].map((_, at) => at), {
      mode: "lines", hovertemplate: "%{y} % within %{x:.2f} ms<extra>" + row.title + "</extra>",
    })), {
    xaxis: { title: { text: "ms" }, type: "log" },
    yaxis: { title: { text: "% of the texts" }, range: [0, 100] },
  });
}

function throughput() {
  draw("throughput", all.filter((row) => Object.keys(row.texts_per_s).length).map((row) => {
    const batches = Object.keys(row.texts_per_s).sort((a, b) => a - b);
    return line(row, batches.map(Number), batches.map((batch) => row.texts_per_s[batch].median));
  }), {
    xaxis: { title: { text: "batch size" }, type: "log", tickvals: all.flatMap((row) => Object.keys(row.texts_per_s).map(Number)) },
    yaxis: { title: { text: "texts a second" }, rangemode: "tozero" },
  });
}

function training() {
  const runs = Object.entries(Object.assign({}, ...records.map((record) => record.curves)));
  draw("training", runs.flatMap(([name, curve], number) => [
    {
      name: plain(name) + ", loss", x: curve.steps, y: curve.losses, mode: "lines",
      line: { color: colours[number % colours.length], width: 1 },
    },
    {
      name: plain(name) + ", validation accuracy", x: curve.epoch_steps, y: curve.accuracies,
      mode: "lines+markers", yaxis: "y2",
      line: { color: colours[number % colours.length], dash: "dot" },
    },
  ]), {
    margin: { l: 50, r: 50, t: 10, b: 45 },
    xaxis: { title: { text: "step" } }, yaxis: { title: { text: "loss" } },
    yaxis2: {
      title: { text: "accuracy" }, overlaying: "y", side: "right", tickformat: ".1%",
      gridcolor: "rgba(0,0,0,0)",
    },
  });
}

// What is left of each layer, and what was removed from it, on top of each other.
function widths(id, layers, kind, importance) {
  const numbers = layers.map((layer) => layer.number);
  const before = layers.map((layer) => layer[kind + "_before"]);
  const kept = layers.map((layer) => layer[kind] ?? 0);
  const shares = layers.map((layer) => layer[importance]);
  const parts = [
    ["kept", kept, colours[0]],
    ["removed", kept.map((count, at) => before[at] - count), style("--line")],
  ];
  draw(id, [
    ...parts.map(([name, y, color]) => ({
      name, type: "bar", x: numbers, y, marker: { color },
      hovertemplate: "layer %{x}: %{y:,} " + kind + " " + name + "<extra></extra>",
    })),
    {
      name: "share of the importance", mode: "text", x: numbers, y: before, hoverinfo: "skip",
      text: shares.map((share) => share === null ? "" : Math.round(100 * share) + " %"),
      textposition: "top center", showlegend: false,
    },
  ], {
    barmode: "stack",
    legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", traceorder: "normal", font: { size: 11 } },
    xaxis: { title: { text: "layer" }, dtick: layers.length > 12 ? 2 : 1, showgrid: false },
    // Room for the shares above the bars.
    yaxis: { title: { text: kind }, range: [0, 1.15 * Math.max(...before)] },
  });
}

function trials(id, bundle) {
  const groups = [
    ["allowed", (one) => one.allowed && !one.chosen, { symbol: "circle", color: colours[0], size: 9 }],
    ["refused", (one) => !one.allowed, { symbol: "x", color: colours[1], size: 8 }],
    ["chosen", (one) => one.chosen, { symbol: "star", color: colours[2], size: 16 }],
  ];
  const points = groups.map(([name, belongs, marker]) => {
    const found = bundle.trials.filter(belongs);
    return {
      name, x: found.map((one) => one.speed), y: found.map((one) => 100 * one.accuracy), marker,
      mode: "markers", text: found.map((one) => plain(one.name)),
      error_y: {
        type: "data", symmetric: false, thickness: 1, width: 0,
        array: found.map((one) => 100 * (one.interval[1] - one.accuracy)),
        arrayminus: found.map((one) => 100 * (one.accuracy - one.interval[0])),
      },
      hovertemplate: "%{text}<br>%{x:.2f}×, %{y:.2f} %<extra>" + name + "</extra>",
    };
  }).filter((trace) => trace.x.length);
  const fastest = Math.max(1, ...bundle.trials.map((one) => one.speed));
  const level = (name, accuracy, dash) => ({
    name, mode: "lines", hoverinfo: "skip", x: [1, fastest], y: [100 * accuracy, 100 * accuracy],
    line: { color: style("--faint"), dash, width: 1 },
  });
  draw(id, [
    level("nothing removed", bundle.accuracy_before, "dot"),
    level("budget", bundle.least_accuracy, "dash"), ...points,
  ], {
    xaxis: { title: { text: "predicted speed, ×" } },
    yaxis: { title: { text: "accuracy, %" } },
  });
}

function structures() {
  pruned.forEach((bundle, number) => {
    widths("heads-" + number, bundle.layers, "heads", "head_importance");
    widths("neurons-" + number, bundle.layers, "neurons", "neuron_importance");
    trials("trials-" + number, bundle);
  });
}

function drawAll() {
  const charts = [
    pareto, byLength, memory, growth, distribution, throughput, training, structures,
  ];
  for (const chart of charts) chart();
}

document.getElementById("scenario").addEventListener("change", distribution);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
drawAll();
document.body.dataset.drawn = "yes";
