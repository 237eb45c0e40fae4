// Words in a row with arcs above them, as displaCy draws them.
const pen = document.createElement("canvas").getContext("2d");
function textWidth(text, font) {
  pen.font = `${font} system-ui, "Noto Sans KR", "Noto Sans CJK KR", sans-serif`;
  return pen.measureText(text).width;
}

// Arcs that lie within others come first; each lies above those that it spans or crosses.
function setLevels(arcs) {
  const placed = [];
  for (const arc of [...arcs].sort((one, other) => Math.abs(one.from - one.to) - Math.abs(other.from - other.to))) {
    const [begin, end] = [Math.min(arc.from, arc.to), Math.max(arc.from, arc.to)];
    const below = placed.filter((other) => Math.min(other.from, other.to) < end && Math.max(other.from, other.to) > begin);
    arc.level = 1 + Math.max(0, ...below.map((other) => other.level));
    placed.push(arc);
  }
  return Math.max(0, ...placed.map((arc) => arc.level));
}

// words: {text, kind}, kind for a chip with a colour; arcs: {from, to, label}, from the head to what hangs on it.
function drawArcs(label, words, arcs, root = null) {
  const [gap, rise, base, room] = [18, 26, 14, 22];
  const widths = words.map((word) => Math.max(textWidth(word.text, "15px") + (word.kind ? 16 : 0),
    word.kind ? textWidth(word.kind, "700 10px") + 16 : 0, 24));
  const x = [];
  let at = 8;
  words.forEach((word, place) => {
    let centre = at + widths[place] / 2;
    for (const arc of arcs) {
      if (Math.max(arc.from, arc.to) !== place) continue;
      centre = Math.max(centre, x[Math.min(arc.from, arc.to)] + textWidth(arc.label, "11px") + 34);
    }
    x.push(centre);
    at = centre + widths[place] / 2 + gap;
  });
  const levels = setLevels(arcs);
  const top = levels * rise + room;
  const width = at, height = top + base + (words.some((word) => word.kind) ? 44 : 24);
  const parts = [], labels = []; // labels are drawn last, so that no line crosses them
  // Several arcs that end at one word do so beside each other.
  const share = (word, arc) => {
    const mine = arcs.filter((one) => one.from === word || one.to === word).sort((one, other) =>
      (one.from + one.to) - (other.from + other.to) || one.level - other.level);
    return (mine.indexOf(arc) - (mine.length - 1) / 2) * Math.min(7, (widths[word] - 8) / mine.length);
  };
  for (const arc of arcs) {
    const from = x[arc.from] + share(arc.from, arc), to = x[arc.to] + share(arc.to, arc);
    const high = top - arc.level * rise;
    const bend = Math.min(14, Math.abs(to - from) / 2);
    const side = to > from ? 1 : -1;
    parts.push(svg("path", { class: "arc", d: `M${from},${top} C${from},${high} ${from},${high} ${from + side * bend},${high}
      L${to - side * bend},${high} C${to},${high} ${to},${high} ${to},${top - 4}` }));
    parts.push(svg("path", { class: "head", d: `M${to},${top} l-4,-8 l8,0 Z` }));
    labels.push(svg("text", { class: "arc-label", x: (from + to) / 2, y: high + 4 }, arc.label));
  }
  if (root !== null) {
    parts.push(svg("path", { class: "arc", d: `M${x[root]},${top - levels * rise - 14} L${x[root]},${top - 4}`,
      "stroke-dasharray": "2 3" }));
    parts.push(svg("path", { class: "head", d: `M${x[root]},${top} l-4,-8 l8,0 Z` }));
  }
  words.forEach((word, place) => {
    if (!word.kind) {
      parts.push(svg("text", { class: "word", x: x[place], y: top + base + 4 }, word.text));
      return;
    }
    parts.push(svg("rect", { class: "chip", css: { "--hue": hue(word.kind) }, x: x[place] - widths[place] / 2, y: top + 2,
      width: widths[place], height: 36, rx: 5 }));
    parts.push(svg("text", { class: "chip-word", x: x[place], y: top + 18 }, word.text));
    parts.push(svg("text", { class: "chip-type", x: x[place], y: top + 32 }, word.kind));
  });
  return scrolling(label, svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    parts, labels));
}

function drawRelations(row) {
  const used = [...new Set(row.relations.flatMap((one) => [one.subject, one.object]))].sort((one, other) => one - other);
  const words = used.map((at) => ({ text: row.entities[at].text, kind: row.entities[at].label }));
  const arcs = row.relations.map((one) => ({ from: used.indexOf(one.subject), to: used.indexOf(one.object), label: one.label }));
  const said = row.relations.map((one) =>
    `${row.entities[one.subject].text} – ${one.label} → ${row.entities[one.object].text} (${score(one.score)})`);
  return el("div", {}, drawArcs(`Relations: ${said.join("; ")}`, words, arcs),
    el("details", {}, el("summary", {}, "Relations as a list"), el("ul", {}, said.map((one) => el("li", {}, one)))));
}

function drawTree(row) {
  const arcs = row.dependencies.filter((arc) => arc.head > 0).map((arc) =>
    ({ from: arc.head - 1, to: arc.index - 1, label: arc.deprel }));
  const root = row.dependencies.findIndex((arc) => arc.head === 0);
  const words = row.dependencies.map((arc) => ({ text: arc.form }));
  const rows = row.dependencies.map((arc) => [String(arc.index), arc.form, arc.deprel,
    arc.head ? row.dependencies[arc.head - 1].form : "(root)", score(arc.score)]);
  return el("div", {}, drawArcs("Dependency tree, the same as in the table below", words, arcs, root < 0 ? null : root),
    el("details", {}, el("summary", {}, "Tree as a table"), table("Words with their heads",
      [["number", null], ["word", null], ["label", null], ["head", null], ["score", "number"]], rows)));
}
