"use strict";
// Draws the charts in the page's colours, and gives the tables their buttons. Text from the data only ever becomes
// text nodes or Plotly labels that were escaped when the page was written.
(() => {
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("data").textContent);
  const hidden = new Map(); // section id -> set of hidden legend groups
  const narrow = matchMedia("(max-width: 40rem), (pointer: coarse)");
  const preferDark = matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");

  // ---- theme
  function setTheme(dark) {
    root.dataset.theme = dark ? "dark" : "light";
    button.textContent = dark ? "Light" : "Dark";
    button.setAttribute("aria-label", dark ? "Use light colours" : "Use dark colours");
    button.setAttribute("aria-pressed", String(dark));
  }
  let chosen = false;
  setTheme(preferDark.matches);
  button.addEventListener("click", () => {
    chosen = true;
    setTheme(root.dataset.theme !== "dark");
    drawAll();
  });
  preferDark.addEventListener("change", () => {
    if (chosen) return;
    setTheme(preferDark.matches);
    drawAll();
  });

  // ---- charts
  // A copy of the figure in which "@name" under a key that speaks of colour is the theme's --name.
  function themed(value, key, style) {
    if (Array.isArray(value)) return value.map((item) => themed(item, key, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, themed(v, k, style)]));
    }
    const isColour = typeof value === "string" && value[0] === "@" && key.toLowerCase().endsWith("color");
    return isColour ? style.getPropertyValue("--" + value.slice(1)).trim() : value;
  }

  function draw(key) {
    const place = document.getElementById(key);
    const section = place.closest("section").id;
    const figure = themed(data.charts[key], "", getComputedStyle(root));
    const off = hidden.get(section) || new Set();
    for (const trace of figure.data) trace.visible = !off.has(trace.legendgroup);
    const layout = figure.layout;
    layout.font.family = getComputedStyle(document.body).fontFamily;
    layout.modebar = { bgcolor: layout.paper_bgcolor, color: layout.xaxis.tickfont.color, activecolor: layout.font.color };
    layout.dragmode = narrow.matches ? false : "zoom"; // on a touch screen a drag must scroll the page
    layout.uirevision = "keep";
    const config = {
      responsive: true,
      displaylogo: false,
      displayModeBar: !narrow.matches,
      modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
      toImageButtonOptions: { filename: key, scale: 2 },
    };
    return Plotly.react(place, figure.data, layout, config);
  }

  let turn = 0;
  async function drawAll() {
    delete root.dataset.drawn;
    const mine = ++turn;
    let drawn = 0;
    for (const key of Object.keys(data.charts)) {
      await draw(key);
      if (mine !== turn) return; // a newer theme draws them all anyway
      drawn += 1;
    }
    root.dataset.drawn = String(drawn);
  }

  for (const legend of document.querySelectorAll(".legend")) {
    const section = legend.closest("section");
    legend.addEventListener("click", (event) => {
      const entry = event.target.closest("button");
      if (!entry) return;
      const off = hidden.get(section.id) || new Set();
      hidden.set(section.id, off);
      const group = entry.dataset.group;
      if (!off.delete(group)) off.add(group);
      entry.setAttribute("aria-pressed", String(!off.has(group)));
      for (const plot of section.querySelectorAll(".plot")) draw(plot.id);
    });
  }

  // ---- tables
  let silence;
  function say(text) {
    const place = document.getElementById("say");
    place.textContent = text;
    clearTimeout(silence);
    silence = setTimeout(() => { place.textContent = ""; }, 2500);
  }

  // A spreadsheet runs text that begins like a formula; an apostrophe before it makes it text again.
  function harmless(value) {
    if (value === null || value === undefined) return "";
    if (typeof value !== "string") return String(value);
    return /^\s*[=+\-@\t\r|%]/.test(value) && !/^-?\d+(\.\d+)?$/.test(value) ? "'" + value : value;
  }
  function csv(table) {
    const quote = (value) => '"' + harmless(value).replaceAll('"', '""') + '"';
    const line = (values) => values.map((v) => (typeof v === "number" ? String(v) : quote(v))).join(",");
    return [line(table.columns), ...table.rows.map(line)].join("\r\n") + "\r\n";
  }
  function tsv(table) {
    const line = (values) => values.map((v) => harmless(v).replace(/[\t\r\n]+/g, " ")).join("\t");
    return [line(table.columns), ...table.rows.map(line)].join("\n") + "\n";
  }

  function download(key) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff" + csv(data.tables[key])], { type: "text/csv;charset=utf-8" }));
    link.download = key.replace(/-table$/, "") + ".csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say("Saved " + link.download);
  }

  async function copy(key) {
    const text = tsv(data.tables[key]);
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea"); // where a page has no clipboard of its own
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    say("Copied " + data.tables[key].rows.length + " rows");
  }

  function sort(head) {
    const table = head.closest("table");
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const numeric = head.classList.contains("num");
    const read = (row) => {
      const value = row.cells[head.cellIndex].dataset.value;
      const parsed = numeric ? Number(value) : value;
      return value === undefined || Number.isNaN(parsed) ? null : parsed;
    };
    const compare = (a, b) => {
      const [x, y] = [read(a), read(b)];
      if (x === null || y === null) return (x === null) - (y === null); // what is missing stays last
      const order = typeof x === "number" ? x - y : x.localeCompare(y, undefined, { numeric: true });
      return up ? order : -order;
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  }

  document.addEventListener("click", (event) => {
    const pressed = event.target.closest("button");
    if (!pressed) return;
    if (pressed.dataset.csv) download(pressed.dataset.csv);
    if (pressed.dataset.copy) copy(pressed.dataset.copy);
    if (pressed.classList.contains("sort")) sort(pressed.closest("th"));
  });

  // ---- where the reader is
  const links = new Map([...document.querySelectorAll(".contents a")].map((a) => [a.hash.slice(1), a]));
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of document.querySelectorAll("main > section")) watch.observe(section);

  // ---- paper is white, and shows what is folded
  let before;
  addEventListener("beforeprint", () => {
    before = root.dataset.theme;
    for (const fold of document.querySelectorAll("details")) fold.open = true;
    if (before === "dark") { setTheme(false); drawAll(); }
  });
  addEventListener("afterprint", () => {
    if (before === "dark") { setTheme(true); drawAll(); }
  });

  drawAll();
})();
