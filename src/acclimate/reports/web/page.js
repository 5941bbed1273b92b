// Draws what comes into sight, and redraws it when the theme or a choice changes.
const hidden = new Map(); // section id -> set of hidden legend groups
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
  stale(plots());
});
preferDark.addEventListener("change", () => {
  if (chosen) return;
  setTheme(preferDark.matches);
  stale(plots());
});

// ---- charts
function figureOf(place) {
  if (!place.dataset.view) return data.charts[place.id];
  const made = VIEWS[place.dataset.view]();
  document.getElementById(place.id + "-title").textContent = made.title;
  document.getElementById(place.id + "-words").textContent = made.caption;
  place.style.height = made.height + "px";
  return made.figure;
}

function draw(place) {
  const section = place.closest("section").id;
  const figure = themed(figureOf(place), "", getComputedStyle(root));
  const off = hidden.get(section) || new Set();
  if (!place.dataset.view) for (const trace of figure.data) trace.visible = !off.has(trace.legendgroup);
  const layout = figure.layout;
  layout.font.family = getComputedStyle(document.body).fontFamily;
  layout.modebar = { bgcolor: layout.paper_bgcolor, color: layout.xaxis.tickfont.color, activecolor: layout.font.color };
  layout.dragmode = narrow.matches ? false : "zoom"; // on a touch screen a drag must scroll the page
  layout.uirevision = place.dataset.view ? undefined : "keep";
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: !narrow.matches,
    modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
    toImageButtonOptions: { filename: place.id, scale: 2 },
  };
  return Plotly.react(place, figure.data, layout, config);
}

// What is near the window is drawn, one after the other; the rest waits until it is.
const plots = () => [...document.querySelectorAll(".plot")];
const lists = () => [...document.querySelectorAll(".paged")];
const near = new Set();
let working = false;
async function show(place) {
  place.dataset.drawn = "";
  if (place.classList.contains("paged")) showTable(place.id);
  else await draw(place);
}
async function work() {
  if (working) return;
  working = true;
  delete root.dataset.drawn;
  for (;;) {
    const next = [...near].find((place) => place.dataset.drawn === undefined);
    if (!next) break;
    await show(next);
  }
  working = false;
  root.dataset.drawn = String([...plots(), ...lists()].filter((place) => place.dataset.drawn !== undefined).length);
}
function stale(places) {
  for (const place of places) delete place.dataset.drawn;
  work();
}
const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) near.add(entry.target);
    else near.delete(entry.target);
  }
  work();
}, { rootMargin: "300px 0px" });

for (const legend of document.querySelectorAll("section .legend")) {
  const section = legend.closest("section");
  legend.addEventListener("click", (event) => {
    const entry = event.target.closest("button");
    if (!entry) return;
    const off = hidden.get(section.id) || new Set();
    hidden.set(section.id, off);
    const group = entry.dataset.group;
    if (!off.delete(group)) off.add(group);
    entry.setAttribute("aria-pressed", String(!off.has(group)));
    stale(section.querySelectorAll(".plot"));
  });
}

// ---- where the reader is
const links = new Map([...document.querySelectorAll(".contents a")].map((a) => [a.hash.slice(1), a]));
const watch = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-20% 0px -70% 0px" });
for (const section of document.querySelectorAll("main section")) watch.observe(section);

// ---- paper is white, and shows what is folded or was not in sight yet
let before;
addEventListener("beforeprint", () => {
  before = root.dataset.theme;
  for (const fold of document.querySelectorAll("details")) fold.open = true;
  if (before === "dark") setTheme(false);
  for (const place of [...plots(), ...lists()]) if (before === "dark" || place.dataset.drawn === undefined) show(place);
});
addEventListener("afterprint", () => {
  if (before !== "dark") return;
  setTheme(true);
  stale(plots());
});

if (grid) enliven((section) => stale([...(section || document).querySelectorAll(".plot[data-view], .paged")]));
for (const place of [...plots(), ...lists()]) sight.observe(place);
if (!plots().length && !lists().length) root.dataset.drawn = "0";
