// The filters, the controls of the sections, and the tables that show what is left, a page at a time.
const PAGE = 25;
const pagedState = new Map(); // table key -> { page, by, up }

// ---- what a live table has: columns, raw rows, and badges of a row
const LISTS = {
  board: () => {
    const found = ranking();
    const costs = found && priceOf(state.choice.protocol, state.dataset);
    const columns = ["Rank", "Could be", "Model", found ? kindName(found.column) : "Value", "Low", "High", state.dataset === ALL ? "Data sets" : "Seeds", ...(costs ? [grid.cost] : [])];
    const row = (i) => [rankText(found.column, i), reach(found.column, i), grid.models[i], found.column.mean[i], low(found.column, i), high(found.column, i), runs(found.column, i), ...(costs ? [costs[i]] : [])];
    const title = state.choice.protocol + " on " + setName(state.dataset) + (found ? ", " + kindName(found.column) : "");
    return { title, columns, name: 2, models: found ? found.models : [], rows: found ? found.models.map(row) : [], badge: (i) => found && tied(found.column, i) && found.column.first };
  },
  front: () => {
    const best = front(priced());
    const rows = best.map((p) => [grid.models[p.i], p.protocol, p.cost, p.value]);
    return { columns: ["Model", "Protocol", costName(), best.length ? kindName(best[0].column) : "Value"], name: 0, models: best.map((p) => p.i), rows };
  },
  cells: () => {
    const [rows, models] = [[], []];
    const left = kept();
    for (const column of grid.columns) {
      if (column.dataset === ALL || (state.dataset !== ALL && column.dataset !== state.dataset)) continue;
      const measure = measureOf(column);
      for (const i of left) {
        if (!measured(column, i)) continue;
        rows.push([grid.models[i], grid.datasets[column.dataset], measure.protocol, kindOf(measure), column.mean[i], low(column, i), high(column, i), runs(column, i)]);
        models.push(i);
      }
    }
    return { columns: ["Model", "Data set", "Protocol", "Metric", "Value", "Low", "High", "Seeds"], name: 0, models, rows };
  },
};
const hint = (title, view) => {
  const of = view === "board" && state.dataset === ALL ? " of the difference to the best, around the mean" : "";
  if (title === "Low" || title === "High") return (title === "Low" ? "lower" : "upper") + " end of the " + grid.level + "% interval" + of;
  return title === "Could be" ? "the ranks that are left open" : "";
};

function liveRecords(key) {
  const list = LISTS[document.getElementById(key).dataset.view]();
  return { columns: list.columns, rows: ordered(key, list).map((k) => list.rows[k]) };
}
function ordered(key, list) {
  const { by, up } = pagedState.get(key) || {};
  const order = list.rows.map((_, k) => k);
  if (by === undefined) return order;
  const number = (v) => (typeof v === "string" && /^\d+(=| to \d+)?$/.test(v) ? parseFloat(v) : v === "" ? null : v);
  return order.sort((a, b) => compare(number(list.rows[a][by]), number(list.rows[b][by]), up) || a - b);
}

function showTable(key) {
  const place = document.getElementById(key);
  const list = LISTS[place.dataset.view]();
  const at = pagedState.get(key) || { page: 0 };
  pagedState.set(key, at);
  const pages = Math.max(1, Math.ceil(list.rows.length / PAGE));
  at.page = Math.min(at.page, pages - 1);
  const used = list.columns.map((_, c) => c).filter((c) => !list.rows.length || list.rows.some((row) => row[c] !== null && row[c] !== ""));
  const numeric = list.columns.map((_, c) => list.rows.some((row) => typeof row[c] === "number") || c < list.name);
  const head = element("tr");
  for (const c of used) {
    const cell = element("th", undefined, { scope: "col", ...(numeric[c] ? { class: "num" } : {}), ...(hint(list.columns[c], place.dataset.view) ? { title: hint(list.columns[c], place.dataset.view) } : {}) });
    if (at.by === c) cell.setAttribute("aria-sort", at.up ? "ascending" : "descending");
    cell.append(element("button", list.columns[c], { type: "button", class: "sort", "data-column": c }));
    head.append(cell);
  }
  const lines = ordered(key, list).slice(at.page * PAGE, (at.page + 1) * PAGE).map((k) => {
    const line = element("tr");
    for (const c of used) {
      const value = list.rows[k][c];
      const cell = element("td", undefined, numeric[c] ? { class: "num" } : {});
      const whole = typeof value === "number" && Number.isInteger(value) && ["Seeds", "Data sets"].includes(list.columns[c]);
      cell.append(element("bdi", typeof value === "number" ? (whole ? String(value) : digits(value)) : value === null ? "–" : value));
      if (c === list.name && list.badge?.(list.models[k])) cell.append(" ", element("span", "tied with the best", { class: "badge tie", title: "cannot be told apart from the best" }));
      if (c === list.name && grid.random.includes(list.models[k])) cell.append(" ", element("span", "randomly initialised", { class: "badge random" }));
      line.append(cell);
    }
    return line;
  });
  const table = place.querySelector("table");
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceChildren(...lines);
  if (list.title) document.getElementById(key + "-title").textContent = list.title;
  const first = list.rows.length ? at.page * PAGE + 1 : 0;
  const text = list.rows.length ? first.toLocaleString("en-US") + " to " + (first + lines.length - 1).toLocaleString("en-US") + " of " + list.rows.length.toLocaleString("en-US") : "No row passes the filters.";
  place.querySelector(".count").textContent = text;
  const [back, on] = place.querySelectorAll(".pager button");
  back.disabled = at.page === 0;
  on.disabled = at.page >= pages - 1;
  place.querySelector(".pager").hidden = pages === 1 && list.rows.length > 0 && list.rows.length < 6;
}

function pressedInTable(place, pressed) {
  const at = pagedState.get(place.id);
  if (pressed.dataset.column !== undefined) {
    const by = Number(pressed.dataset.column);
    Object.assign(at, { up: at.by === by ? !at.up : true, by, page: 0 });
  } else if (pressed.dataset.step) {
    at.page += Number(pressed.dataset.step);
  } else return;
  const [column, step] = [pressed.dataset.column, pressed.dataset.step];
  showTable(place.id);
  const again = column !== undefined ? place.querySelector(`[data-column="${column}"]`) : place.querySelector(`[data-step="${step}"]`);
  (again?.disabled ? place.querySelector(".pager button:not(:disabled)") : again)?.focus(); // the old button is gone
}

// ---- filters
function select(name, text, options, chosen, changed) {
  const wrap = element("label", undefined, { class: "choice" });
  const box = element("select", undefined, { id: "filter-" + name });
  for (const [value, shown] of options) box.append(element("option", shown, { value }));
  box.value = chosen;
  box.addEventListener("change", () => changed(box.value));
  wrap.append(element("span", text), box);
  return wrap;
}

function groupButtons(place, changed) {
  place.replaceChildren();
  const grouping = grid.groups[state.grouping];
  if (!grouping) return;
  grouping.groups.forEach((name, k) => {
    const entry = element("button", undefined, { type: "button", "aria-pressed": String(!state.off.has(k)), "data-number": k });
    entry.append(element("span", glyph(k), { class: "glyph " + hue(k), "aria-hidden": "true" }), element("bdi", name));
    entry.addEventListener("click", () => {
      if (!state.off.delete(k)) state.off.add(k);
      entry.setAttribute("aria-pressed", String(!state.off.has(k)));
      changed();
    });
    place.append(entry);
  });
  if (grouping.groups.length < 3) return;
  const all = element("button", "all", { type: "button", class: "every" });
  all.addEventListener("click", () => {
    const hide = state.off.size === 0;
    state.off = new Set(hide ? grouping.groups.map((_, k) => k) : []);
    groupButtons(place, changed);
    place.querySelector(".every").focus();
    changed();
  });
  all.textContent = "all / none";
  place.append(all);
}

// Builds the filters and gives the controls their life; changed() is called after each choice.
function enliven(changed) {
  const bar = document.getElementById("filters");
  const row = bar.querySelector(".choices");
  const groups = bar.querySelector(".legend");
  const sets = [...new Set(grid.columns.map((column) => column.dataset))].sort((a, b) => a - b);
  if (sets.length > 1) {
    const options = sets.map((k) => [String(k), k === ALL ? "all data sets, averaged" : grid.datasets[k]]);
    row.append(select("dataset", "Data set", options, String(state.dataset), (value) => {
      state.dataset = Number(value);
      const at = grid.trust ? grid.trust.datasets.indexOf(state.dataset) : -1;
      const own = document.querySelector("[data-control='at']");
      if (own && at >= 0) { own.value = String(at); state.choice.at = own.value; }
      changed();
    }));
  }
  const kinds = [...new Set(grid.measures.map(kindOf))];
  if (kinds.length > 1) row.append(select("kind", "Metric", kinds.map((k) => [k, k.replaceAll("_", " ")]), state.kind, (value) => { state.kind = value; changed(); }));
  if (grid.groups.length > 1) {
    const options = grid.groups.map((g, k) => [String(k), g.name]);
    row.append(select("grouping", "Group by", options, "0", (value) => {
      state.grouping = Number(value);
      state.off = new Set();
      groupButtons(groups, changed);
      changed();
    }));
  }
  const wrap = element("label", undefined, { class: "choice" });
  const box = element("input", undefined, { type: "search", id: "filter-text", placeholder: "part of a name", autocomplete: "off", spellcheck: "false" });
  let later;
  box.addEventListener("input", () => {
    clearTimeout(later);
    later = setTimeout(() => { state.text = box.value.trim().toLowerCase(); changed(); }, 150);
  });
  wrap.append(element("span", "Model"), box);
  row.append(wrap);
  groups.setAttribute("aria-label", "Groups of models" + (grid.groups.length ? ", by " + grid.groups[0].name : ""));
  groupButtons(groups, changed);
  groups.hidden = !grid.groups.length;
  bar.classList.toggle("short", !grid.groups.some((grouping) => grouping.groups.length > 12)); // else it would cover too much
  for (const control of document.querySelectorAll("select[data-control]")) {
    state.choice[control.dataset.control] = control.value;
    control.addEventListener("change", () => { state.choice[control.dataset.control] = control.value; changed(control.closest("section")); });
  }
  for (const place of document.querySelectorAll(".paged")) {
    place.addEventListener("click", (event) => {
      const pressed = event.target.closest("button");
      if (pressed) pressedInTable(place, pressed);
    });
  }
  bar.hidden = false;
}
