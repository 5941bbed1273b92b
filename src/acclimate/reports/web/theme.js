// What all files of the page's script share: the data, the theme's colours, and how foreign text is handed on.
// They are joined into one closure, in the order of page.py. Text from the data becomes text nodes, or a Plotly label
// that went through label().
const root = document.documentElement;
const data = JSON.parse(document.getElementById("data").textContent);
const narrow = matchMedia("(max-width: 40rem), (pointer: coarse)");

// The theme's colour of that name, as it is now.
const tint = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();

// A copy of the figure in which "@name" under a key that speaks of colour is the theme's --name.
function themed(value, key, style) {
  if (Array.isArray(value)) return value.map((item) => themed(item, key, style));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, themed(v, k, style)]));
  }
  const isColour = typeof value === "string" && value[0] === "@" && key.toLowerCase().endsWith("color");
  return isColour ? style.getPropertyValue("--" + value.slice(1)).trim() : value;
}

// Text cut in its middle: both ends of a name matter.
function short(text, limit) {
  const letters = [...text];
  if (letters.length <= limit) return text;
  const head = Math.floor((limit - 1) / 2);
  return letters.slice(0, head).join("") + "…" + letters.slice(letters.length - (limit - 1 - head)).join("");
}

// Text for Plotly, which would otherwise read <b> and <a href> as markup.
function label(text, limit = 200) {
  return short(text, limit).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// Four digits that matter, with a real minus; large numbers get their thousands apart.
function digits(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const text = size >= 1000 ? Math.round(value).toLocaleString("en-US") : size >= 10 ? value.toFixed(2) : value.toFixed(3);
  return (size > 0 && size < 0.0005 ? value.toExponential(1) : text).replace("-", "−");
}
