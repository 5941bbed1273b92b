// The grid of all numbers, what the reader chose, and which models that leaves.
const grid = data.grid || null;
const ALL = -1; // the data set of a mean over all of them
const kindOf = (measure) => (measure.split ? measure.split + " " : "") + measure.metric;

const state = grid && {
  dataset: grid.opening.dataset,
  kind: kindOf(grid.measures[grid.opening.measure]),
  grouping: 0,
  off: new Set(), // groups that are hidden, by number
  text: "",
  choice: {}, // of the sections' own controls
};

// protocol -> data set -> [[kind, column], ...]
const places = new Map();
for (const column of grid ? grid.columns : []) {
  const measure = grid.measures[column.measure];
  const sets = places.get(measure.protocol) || new Map();
  places.set(measure.protocol, sets);
  sets.set(column.dataset, [...(sets.get(column.dataset) || []), [kindOf(measure), column]]);
}
const prices = new Map();
for (const cost of grid ? grid.costs : []) prices.set(cost.protocol + "\n" + cost.dataset, cost.values);

// The column of a protocol on a data set: of the chosen metric, or of the first that there is; null where none.
function columnOf(protocol, dataset) {
  const known = places.get(protocol)?.get(dataset) || [];
  return (known.find(([kind]) => kind === state.kind) || known[0] || [null, null])[1];
}
const measureOf = (column) => grid.measures[column.measure];
const kindName = (column) => kindOf(measureOf(column)).replaceAll("_", " ");
const setName = (dataset) => (dataset === ALL ? "all data sets" : grid.datasets[dataset]);
const priceOf = (protocol, dataset) => prices.get(protocol + "\n" + dataset) || prices.get("\n" + dataset) || null;
const better = (a, b, higher) => (higher ? b - a : a - b);

const groupOf = (i) => (grid.groups.length ? grid.groups[state.grouping].of[i] : -1);
const groupName = (i) => (groupOf(i) < 0 ? "" : grid.groups[state.grouping].groups[groupOf(i)]);
function shown(i) {
  if (groupOf(i) >= 0 && state.off.has(groupOf(i))) return false;
  return !state.text || grid.models[i].toLowerCase().includes(state.text);
}
const kept = () => grid.models.map((_, i) => i).filter(shown);
const measured = (column, i) => column.mean[i] !== null;
const tied = (column, i) => (column.first ? column.first[i] === 1 : column.rank[i] === 1);
const low = (column, i) => (column.low ? column.low[i] : null);
const high = (column, i) => (column.high ? column.high[i] : null);
const runs = (column, i) => (Array.isArray(column.runs) ? column.runs[i] : column.runs);

// The rank as it is told: the whole top set is first together, and equals share one.
function rankText(column, i) {
  const first = tied(column, i);
  if (!column.shared) {
    column.shared = new Map(); // rank -> how many have it; 0 is the top set
    column.mean.forEach((_, j) => {
      if (!measured(column, j)) return;
      const rank = tied(column, j) ? 0 : column.rank[j];
      column.shared.set(rank, (column.shared.get(rank) || 0) + 1);
    });
  }
  return (first ? 1 : column.rank[i]) + (column.shared.get(first ? 0 : column.rank[i]) > 1 ? "=" : "");
}
function reach(column, i) {
  if (!column.first) return "";
  return column.last[i] > column.first[i] ? column.first[i] + " to " + column.last[i] : String(column.first[i]);
}
function interval(column, i) {
  // Over all data sets it is that of the difference to the best: none for the best itself.
  return low(column, i) === null || low(column, i) === high(column, i) ? "" : digits(low(column, i)) + " to " + digits(high(column, i));
}
// One model's number in a column, for a hover: its name first.
function tell(column, i, before = "") {
  const span = interval(column, i);
  const could = column.first ? "<br>rank " + column.rank[i] + (reach(column, i).includes("to") ? ", could be " + reach(column, i) : "") : "";
  const group = groupName(i) ? "<br>" + label(groupName(i)) : "";
  const mark = grid.random.includes(i) ? "<br>randomly initialised" : "";
  return label(grid.models[i]) + group + "<br>" + before + digits(column.mean[i]) + (span ? " (" + span + ")" : "") + could + mark;
}

// How a group looks: colour and symbol both say it, so that colour alone never has to.
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star"];
const GLYPHS = ["●", "■", "◆", "▲", "✚", "✕", "★"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const turn = (i) => (i + Math.floor(i / 7)) % 7;
const hue = (i) => (i < 0 ? "c1" : "c" + ((i % 7) + 1));
const symbol = (i) => (i < 0 ? "circle" : SYMBOLS[turn(i)]);
const glyph = (i) => GLYPHS[turn(i)];
