// Tables: said, copied, saved, sorted.
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

// The records of a table: written with the page, or those that a live table has now.
const records = (key) => data.tables[key] || liveRecords(key);

function download(key) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff" + csv(records(key))], { type: "text/csv;charset=utf-8" }));
  link.download = key.replace(/-table$/, "") + ".csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  say("Saved " + link.download);
}

async function copy(key) {
  const table = records(key);
  const text = tsv(table);
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
  say("Copied " + table.rows.length + " rows");
}

const collator = new Intl.Collator(undefined, { numeric: true });
// What is missing stays last, whichever way a column is sorted.
function compare(x, y, up) {
  if (x === null || y === null) return (x === null) - (y === null);
  const order = typeof x === "number" ? x - y : collator.compare(x, y);
  return up ? order : -order;
}

function turned(head) {
  const up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.closest("table").querySelectorAll("th")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  return up;
}

function sort(head) {
  const table = head.closest("table");
  const up = turned(head);
  const numeric = head.classList.contains("num");
  const read = (row) => {
    const value = row.cells[head.cellIndex].dataset.value;
    const parsed = numeric ? Number(value) : value;
    return value === undefined || Number.isNaN(parsed) ? null : parsed;
  };
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => compare(read(a), read(b), up)));
}

document.addEventListener("click", (event) => {
  const pressed = event.target.closest("button");
  if (!pressed) return;
  if (pressed.dataset.csv) download(pressed.dataset.csv);
  if (pressed.dataset.copy) copy(pressed.dataset.copy);
  if (pressed.classList.contains("sort") && !pressed.closest(".paged")) sort(pressed.closest("th"));
});
