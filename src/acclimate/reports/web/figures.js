// Figures of the leaderboard, of a proxy against its target, and of the matrix of data sets.
const VIEWS = {}; // name -> () => { figure, title, caption, height }

function axis(title) {
  return {
    title: { text: label(title, 80), standoff: 12, font: { size: 12, color: "@muted" } },
    gridcolor: "@line", zeroline: false, automargin: true, ticks: "", tickfont: { size: 12, color: "@muted" },
  };
}
function layout(x, y) {
  return {
    paper_bgcolor: "@clear", plot_bgcolor: "@clear", font: { color: "@ink", size: 13 },
    margin: { l: 8, r: 16, t: 10, b: 8, pad: 4 }, hovermode: "closest", showlegend: false,
    hoverlabel: { bgcolor: "@raised", bordercolor: "@rule", font: { color: "@ink", size: 12 } },
    xaxis: axis(x), yaxis: axis(y),
  };
}
const nothing = (title, caption) => ({ figure: { data: [], layout: bare() }, title, caption, height: 120 });
function bare() {
  const made = layout("", "");
  for (const side of [made.xaxis, made.yaxis]) Object.assign(side, { showgrid: false, showticklabels: false });
  return made;
}
// Error bars from interval ends; a missing end draws nothing.
function whiskers(column, models, colour) {
  const arm = (ends, sign) => models.map((i) => (ends(column, i) === null ? 0 : Math.abs(ends(column, i) - column.mean[i])));
  return {
    type: "data", symmetric: false, array: arm(high), arrayminus: arm(low), thickness: 1.5, width: 0, color: colour,
    visible: Boolean(column.low),
  };
}
const left = (count, of) => (count < of ? " " + count.toLocaleString() + " of " + of.toLocaleString() + " models pass the filters; ranks are among all." : "");

// ---- leaderboard
const DRAWN = 40;
function ranking() {
  const column = columnOf(state.choice.protocol, state.dataset);
  if (!column) return null;
  const all = grid.models.map((_, i) => i).filter((i) => measured(column, i));
  const models = all.filter(shown).sort((a, b) => column.rank[a] - column.rank[b] || (grid.models[a] < grid.models[b] ? -1 : 1));
  return { column, all, models };
}
VIEWS.board = () => {
  const found = ranking();
  const title = state.choice.protocol + " on " + setName(state.dataset);
  if (!found || !found.models.length) {
    return nothing(title, found ? "No model passes the filters." : "Nothing was measured for this choice.");
  }
  const { column, all, models } = found;
  const some = models.slice(0, DRAWN);
  const shape = layout(kindName(column), "");
  const wide = narrow.matches ? 20 : 44;
  Object.assign(shape.yaxis, {
    tickvals: some.map((_, y) => y), ticktext: some.map((i) => label(grid.models[i], wide)),
    range: [some.length - 0.4, -0.6], showgrid: false, tickfont: { size: 12, color: "@ink" },
  });
  const best = all.find((i) => column.rank[i] === 1);
  const paired = column.dataset === ALL;
  if (low(column, best) !== null) {
    const [x0, x1] = [low(column, best), high(column, best)];
    const line = paired ? { width: 1.5, color: "@c1", dash: "dot" } : { width: 0 };
    shape.shapes = [{ type: paired ? "line" : "rect", yref: "paper", x0, x1, y0: 0, y1: 1, layer: "below", line, fillcolor: "@band" }];
  }
  const trace = (isTop) => {
    const mine = some.filter((i) => tied(column, i) === isTop);
    const colour = isTop ? "@c1" : "@muted";
    return {
      type: "scatter", mode: "markers", x: mine.map((i) => column.mean[i]), y: mine.map((i) => some.indexOf(i)),
      error_x: whiskers(column, mine, colour), hoverinfo: "text", hovertext: mine.map((i) => tell(column, i)),
      marker: {
        size: 10, color: colour, line: { width: 2, color: colour },
        symbol: mine.map((i) => (isTop ? "circle" : "diamond") + (grid.random.includes(i) ? "-open" : "")),
      },
    };
  };
  const top = all.filter((i) => tied(column, i)).length;
  const sure = column.low
    ? top + " of " + all.length + " could be first: blue discs. Of each grey diamond some model is better beyond chance. " + (paired
      ? "Bars are " + grid.level + "% intervals of the difference to the best, whose number is the dotted line."
      : "Bars are " + grid.level + "% intervals, the band is that of the best.")
    : "No intervals: each number was measured once, so the order may be chance.";
  const cut = models.length > DRAWN ? " The first " + DRAWN + " are drawn; the table has all." : "";
  const way = measureOf(column).higher ? " Further right is better." : " Further left is better.";
  const figure = { data: [trace(true), trace(false)].filter((t) => t.x.length), layout: shape };
  return { figure, title: title + ": " + kindName(column), caption: sure + way + cut + left(models.length, all.length), height: 96 + 26 * some.length };
};

// ---- proxy against target
VIEWS.scatter = () => {
  const trust = grid.trust;
  const proxy = trust.proxies[Number(state.choice.proxy)];
  const at = Number(state.choice.at || 0);
  const from = state.choice.source ? Number(state.choice.source) : at;
  const [x, y] = [grid.columns[proxy.column[from]], grid.columns[trust.column[at]]];
  const where = (k) => setName(trust.datasets[k]);
  const title = proxy.proxy + (from === at ? "" : " on " + where(from)) + " against " + trust.target + " on " + where(at);
  const both = x && y ? grid.models.map((_, i) => i).filter((i) => measured(x, i) && measured(y, i)) : [];
  const models = both.filter(shown);
  if (!models.length) return nothing(title, both.length ? "No model passes the filters." : "No model has both numbers here.");
  const groups = [...new Set(models.map(groupOf))].sort((a, b) => a - b);
  const traces = groups.map((group) => {
    const mine = models.filter((i) => groupOf(i) === group);
    const colour = "@" + hue(group);
    const text = (i) => tell(y, i, label(trust.target) + ": ") + "<br>" + label(proxy.proxy) + ": " + digits(x.mean[i]) + (interval(x, i) ? " (" + interval(x, i) + ")" : "");
    return {
      type: "scatter", mode: "markers", x: mine.map((i) => x.mean[i]), y: mine.map((i) => y.mean[i]),
      error_x: whiskers(x, mine, "@rule"), error_y: whiskers(y, mine, "@rule"), hoverinfo: "text", hovertext: mine.map(text),
      marker: { size: models.length > 300 ? 6 : 10, color: colour, symbol: symbol(group), opacity: 0.85, line: { width: 0.5, color: "@ground" } },
    };
  });
  const k = from * trust.datasets.length + at;
  const rho = proxy.spearman[k];
  const ends = proxy.low[k] === null ? "" : " (" + trust.level + "% interval " + digits(proxy.low[k]) + " to " + digits(proxy.high[k]) + ")";
  const said = rho === null ? "No correlation: fewer than three models, or a column that is the same for all."
    : "Spearman's rank correlation over all " + proxy.models[k] + " models " + digits(rho) + ends + "; trusting the proxy's first choice costs " + digits(proxy.regret[k]) + ".";
  const bars = x.low || y.low ? " Bars are " + grid.level + "% intervals over seeds." : "";
  const axes = [[proxy.proxy, x], [trust.target, y]].map(([name, column]) => short(name, 28) + ", " + kindName(column));
  const hint = models.length < both.length ? " " + models.length + " of them pass the filters." : "";
  return { figure: { data: traces, layout: layout(...axes) }, title, caption: said + hint + bars, height: narrow.matches ? 380 : 480 };
};

// ---- in and out of domain
VIEWS.heat = () => {
  const trust = grid.trust;
  const proxy = trust.proxies[Number(state.choice.heat)];
  const d = trust.datasets.length;
  const names = trust.datasets.map(setName);
  const cell = (values, i, j) => values[i * d + j];
  const rows = [...Array(d).keys()].filter((i) => names.some((_, j) => cell(proxy.spearman, i, j) !== null));
  const columns = [...Array(d).keys()].filter((j) => names.some((_, i) => cell(proxy.spearman, i, j) !== null));
  const title = proxy.proxy + " foretells " + trust.target;
  if (!rows.length) return nothing(title, "No correlation is defined: three models with both numbers are needed.");
  const limit = narrow.matches ? 9 : 18;
  const ticks = (picked) => ({ tickvals: picked.map((_, k) => k), ticktext: picked.map((k) => label(names[k], limit)), showgrid: false });
  const shape = layout("target on", "proxy read on");
  Object.assign(shape.xaxis, ticks(columns), { side: "bottom", tickangle: -45, range: [-0.5, columns.length - 0.5] });
  Object.assign(shape.yaxis, ticks(rows), { range: [rows.length - 0.5, -0.5] });
  const line = { color: "@ink", width: 1.5 };
  shape.shapes = rows.flatMap((k, y) => columns.flatMap((j, x) => (j === k ? [{ type: "rect", x0: x - 0.5, x1: x + 0.5, y0: y - 0.5, y1: y + 0.5, line }] : [])));
  const text = (i, j) => {
    const rho = cell(proxy.spearman, i, j);
    if (rho === null) return label(names[i]) + " → " + label(names[j]) + "<br>undefined, " + cell(proxy.models, i, j) + " models";
    const ends = cell(proxy.low, i, j) === null ? "" : " (" + digits(cell(proxy.low, i, j)) + " to " + digits(cell(proxy.high, i, j)) + ")";
    return label(names[i]) + " → " + label(names[j]) + "<br>Spearman " + digits(rho) + ends + "<br>" + cell(proxy.models, i, j) + " models, regret " + digits(cell(proxy.regret, i, j));
  };
  const heat = {
    type: "heatmap", x: columns.map((_, k) => k), y: rows.map((_, k) => k), z: rows.map((i) => columns.map((j) => cell(proxy.spearman, i, j))),
    zmin: -1, zmax: 1, xgap: 1, ygap: 1, hoverinfo: "text", hovertext: rows.map((i) => columns.map((j) => text(i, j))),
    colorscale: [[0, tint("c2")], [0.5, tint("ground")], [1, tint("c1")]],
    colorbar: { thickness: 10, outlinewidth: 0, tickvals: [-1, 0, 1], tickfont: { color: "@muted", size: 11 } },
    showscale: !narrow.matches,
  };
  const room = narrow.matches ? 7 : 20;
  const flat = rows.flatMap((i, y) => columns.map((j, x) => [x, y, cell(proxy.spearman, i, j)])).filter((c) => c[2] !== null);
  const written = {
    type: "scatter", mode: "text", x: flat.map((c) => c[0]), y: flat.map((c) => c[1]), hoverinfo: "skip",
    text: flat.map((c) => c[2].toFixed(columns.length > 14 ? 1 : 2).replace("-", "−").replace("0.", ".")),
    textfont: { size: 11, color: flat.map((c) => (Math.abs(c[2]) > 0.55 ? "@onaccent" : "@ink")) },
  };
  const large = columns.length > room ? " Hover over a cell or touch it for its number." : "";
  const data = columns.length > room ? [heat] : [heat, written];
  const caption = "Blue: the proxy orders models as the target does; orange: the other way round; empty: not measured." + large;
  return { figure: { data, layout: shape }, title, caption, height: Math.max(240, 130 + rows.length * (narrow.matches ? 26 : 30)) };
};
