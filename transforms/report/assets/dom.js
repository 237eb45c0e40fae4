// What all drawing goes through. Text of the data is set as text, never as HTML.
const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, hear] of Object.entries(value)) node.addEventListener(event, hear);
    else if (name === "css") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined).map(
    (child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return node;
}

const count = (number) => number.toLocaleString("en-US");
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.001 ? 3 : 1)} %`;
const score = (value) => (value === null || value === undefined ? "" : value.toFixed(2));

// A table: heads are [text, class], cells are nodes, strings or numbers (which stand to the right).
function table(caption, heads, rows) {
  const cell = (value, at) => {
    const isNumber = typeof value === "number";
    const kind = heads[at][1] || (isNumber ? "number" : null);
    return el(at ? "td" : "th", { class: kind, scope: at ? null : "row" }, isNumber ? count(value) : value);
  };
  const body = rows.map((row) => el("tr", {}, row.map(cell)));
  return scrolling(caption, el("table", {}, el("caption", {}, caption),
    el("thead", {}, el("tr", {}, heads.map(([text, kind]) => el("th", { scope: "col", class: kind }, text)))),
    el("tbody", {}, body)));
}

// What may be wider than the page: it scrolls by itself, with the keyboard too.
const scrolling = (label, child) => el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": label }, child);

function bar(share, kind) {
  return [el("span", { class: `bar ${kind}`, css: { width: `${(7 * share).toFixed(2)}rem` }, "aria-hidden": "true" }),
    percent(share)];
}

// Columns of numbers as bars, one or two series beside each other, and the same as a table.
function histogram(title, names, ticks, series) {
  const [width, height, foot] = [420, 120, 18];
  const totals = series.map((one) => one.reduce((sum, value) => sum + value, 0) || 1);
  const most = Math.max(...series.flatMap((one, at) => one.map((value) => value / totals[at])), 1e-9);
  const step = width / ticks.length, thick = (step - 2) / series.length;
  const kinds = ["first", "second"];
  const bars = series.flatMap((one, at) => one.map((value, place) => {
    const high = (value / totals[at] / most) * height;
    return svg("rect", { class: kinds[at], x: place * step + 1 + at * thick, y: height - high, width: Math.max(thick, 1),
      height: high });
  }));
  const every = Math.ceil(ticks.length / 8);
  const labels = ticks.map((tick, at) => (at % every ? null
    : svg("text", { class: "small", x: at * step + 1, y: height + 13 }, tick.split(" ")[0])));
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height + foot}`, width, height: height + foot, role: "img",
    "aria-label": `${title}: bars, the same as in the table of numbers below` },
  svg("line", { class: "axis", x1: 0, x2: width, y1: height, y2: height }), bars, labels);
  const heads = [["from … to", null], ...names.flatMap((name) => [[name, "number"], ["share", "number"]])];
  const rows = ticks.map((tick, at) => [tick,
    ...series.flatMap((one, which) => [one[at], percent(one[at] / totals[which])])]);
  return el("div", {}, scrolling(title, picture),
    el("details", {}, el("summary", {}, `Numbers: ${title}`), table(title, heads, rows)));
}

// A colour for each label of its kind, the same in all of the page.
const hues = new Map();
function hue(label) {
  if (!hues.has(label)) hues.set(label, (hues.size * 137 + 210) % 360);
  return String(hues.get(label));
}
