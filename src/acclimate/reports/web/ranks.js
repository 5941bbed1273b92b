// Figures of changing ranks, and of what accuracy costs.
const most = () => (narrow.matches ? 12 : 24); // lines that can be followed

// The protocols: proxies first, the target last, where there is one.
function inOrder() {
  const names = [...places.keys()];
  const place = (name) => (name === grid.trust?.target ? names.length : grid.trust?.proxies.findIndex((p) => p.proxy === name) ?? 0);
  return grid.trust ? names.sort((a, b) => place(a) - place(b)) : names;
}

// Ranks among the models that all columns have; columns with less than two thirds of the models of the fullest are left out.
function rankings() {
  const across = state.choice.across;
  const protocol = state.choice.protocol || grid.measures[grid.opening.measure].protocol;
  let list = across === "datasets"
    ? grid.datasets.map((name, k) => [name, columnOf(protocol, k)])
    : inOrder().map((name) => [name, columnOf(name, state.dataset)]);
  const count = (column) => column.mean.filter((v) => v !== null).length;
  list = list.filter(([, column]) => column);
  const fullest = Math.max(0, ...list.map(([, column]) => count(column)));
  list = list.filter(([, column]) => 3 * count(column) >= 2 * fullest).slice(0, 30);
  const common = grid.models.map((_, i) => i).filter((i) => list.length && list.every(([, column]) => measured(column, i)));
  const ranks = list.map(([, column]) => {
    const { higher } = measureOf(column);
    const ordered = common.map((i) => column.mean[i]).sort((a, b) => better(a, b, higher));
    const at = new Map();
    ordered.forEach((value, place) => { if (!at.has(value)) at.set(value, place + 1); });
    return new Map(common.map((i) => [i, at.get(column.mean[i])]));
  });
  return { list, common, ranks, protocol, across };
}

VIEWS.bump = () => {
  const { list, common, ranks, protocol, across } = rankings();
  const title = across === "datasets" ? protocol + " from data set to data set" : "From protocol to protocol on " + setName(state.dataset);
  if (list.length < 2 || common.length < 2) return nothing(title, "Nothing to compare: two columns with two models in common are needed.");
  const last = ranks.length - 1;
  const models = common.filter(shown).sort((a, b) => ranks[last].get(a) - ranks[last].get(b) || a - b);
  if (!models.length) return nothing(title, "No model passes the filters.");
  const lines = models.slice(0, most());
  const colour = (i, k) => "@" + hue(grid.groups.length ? groupOf(i) : k);
  const traces = lines.map((i, k) => ({
    type: "scatter", mode: "lines+markers", x: list.map((_, c) => c), y: ranks.map((rank) => rank.get(i)),
    line: { color: colour(i, k), width: 2, shape: "spline", smoothing: 0.5, dash: DASHES[Math.floor(k / 7) % 6] },
    marker: { size: 9, color: colour(i, k), symbol: symbol(grid.groups.length ? groupOf(i) : k) },
    hoverinfo: "text", hovertext: list.map(([name, column], c) => label(name) + ": rank " + ranks[c].get(i) + " of " + common.length + "<br>" + tell(column, i)),
  }));
  const shape = layout("", "rank");
  const lowest = Math.max(...lines.flatMap((i) => ranks.map((rank) => rank.get(i))));
  const wide = !narrow.matches;
  Object.assign(shape.xaxis, {
    tickvals: list.map((_, c) => c), ticktext: list.map(([name]) => label(name, wide ? (list.length > 6 ? 14 : 22) : 9)), range: [-0.2, last + 0.2],
    showgrid: false, tickangle: list.length > 6 || !wide ? -45 : 0,
  });
  Object.assign(shape.yaxis, { range: [lowest + 0.7, 0.3], tickformat: "d", nticks: Math.min(12, lowest + 1) });
  shape.margin.r = wide ? 180 : 100;
  shape.annotations = lines.map((i) => ({
    xref: "paper", x: 1, y: ranks[last].get(i), xanchor: "left", showarrow: false,
    text: label(grid.models[i], wide ? 26 : 14), font: { size: wide ? 11 : 10, color: "@ink" },
  })).filter((note, k, all) => all.findIndex((other) => other.y === note.y) === k); // equals would cover each other
  const cut = models.length > most() ? " The " + most() + " best in the last column are drawn." : "";
  const fewer = common.length < grid.models.length ? common.length + " models have all columns. " : "";
  const caption = fewer + "1 is best." + cut + left(models.length, common.length);
  return { figure: { data: traces, layout: shape }, title, caption, height: Math.max(300, Math.min(640, 130 + 22 * lines.length)) };
};

// ---- cost
function priced() {
  const one = state.choice.priced || "";
  const bySize = state.choice.price === "parameters";
  const points = [];
  for (const protocol of one ? [one] : places.keys()) {
    const column = columnOf(protocol, state.dataset);
    const prices = bySize ? grid.sizes : priceOf(protocol, state.dataset);
    if (!column || !prices) continue;
    for (const i of kept()) {
      if (measured(column, i) && prices[i] !== null) points.push({ i, protocol, column, cost: prices[i], value: column.mean[i] });
    }
  }
  // Two metrics have no common scale: the one that was chosen, or else that of the first point.
  const kinds = points.map((p) => kindOf(measureOf(p.column)));
  const wanted = kinds.includes(state.kind) ? state.kind : kinds[0];
  return points.filter((_, k) => kinds[k] === wanted);
}
// Those that nothing beats: sorted by cost, each better than all that are cheaper.
function front(points) {
  if (!points.length) return [];
  const { higher } = measureOf(points[0].column);
  const sorted = [...points].sort((a, b) => a.cost - b.cost || better(a.value, b.value, higher));
  const kept = [];
  for (const point of sorted) {
    if (!kept.length || better(point.value, kept[kept.length - 1].value, higher) < 0) kept.push(point);
  }
  return kept;
}
const costName = () => (state.choice.price === "parameters" ? "parameters" : grid.cost);
VIEWS.cost = () => {
  const points = priced();
  const title = "Cost against accuracy on " + setName(state.dataset);
  if (!points.length) return nothing(title, "No model that passes the filters has both a cost and a number here.");
  const best = front(points);
  const several = new Set(points.map((p) => p.protocol)).size > 1;
  const names = [...new Set(points.map((p) => (several ? p.protocol : groupName(p.i))))];
  const traces = names.map((name, k) => {
    const mine = points.filter((p) => (several ? p.protocol : groupName(p.i)) === name).slice(0, 2000);
    const look = several ? k : groupOf(mine[0].i);
    return {
      type: "scatter", mode: "markers", x: mine.map((p) => p.cost), y: mine.map((p) => p.value), name: label(name, 24), showlegend: several, hoverinfo: "text",
      hovertext: mine.map((p) => tell(p.column, p.i) + "<br>" + label(p.protocol) + "<br>" + label(costName()) + " " + digits(p.cost) + (best.includes(p) ? "<br>on the front" : "")),
      marker: { size: points.length > 300 ? 6 : 9, color: "@" + hue(look), symbol: symbol(look), opacity: 0.9, line: { width: 0.5, color: "@ground" } },
    };
  });
  const line = {
    type: "scatter", mode: "lines", x: best.map((p) => p.cost), y: best.map((p) => p.value), hoverinfo: "skip", showlegend: false,
    line: { color: "@ink", width: 1.5, dash: "dash", shape: "hv" },
  };
  const shape = layout(costName() + ", logarithmic", kindName(points[0].column));
  const costs = points.map((p) => p.cost);
  const wide = Math.max(...costs) > 1000 * Math.min(...costs);
  Object.assign(shape.xaxis, { type: "log", dtick: wide ? 1 : "D2" });
  shape.showlegend = several;
  shape.legend = { orientation: "h", y: -0.22, font: { size: 11, color: "@ink" } };
  const cheap = best.slice(0, 4).map((p) => p.i).map((i) => grid.models[i]);
  const caption = best.length + " of " + points.length + (best.length === 1 ? " is" : " are") + " on the front (dashed). From the cheapest: " + [...new Set(cheap)].map((n) => short(n, 40)).join(", ") + (best.length > 4 ? " and others." : ".");
  return { figure: { data: [...traces, line], layout: shape }, title, caption, height: narrow.matches ? 420 : 500 };
};
