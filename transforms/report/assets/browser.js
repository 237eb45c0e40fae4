// The browser of sampled sentences: filters, search, and each sentence with what was found in it.
const PAGE = 10;

// All labels of a row, {column, label, score}.
function labelsOf(row, columns) {
  return columns.flatMap(({ column, label }) => {
    const found = row[column];
    const items = found === null || found === undefined ? [] : Array.isArray(found) ? found : [found];
    return items.map((item) => ({ column, label: String(item[label]), score: item.score }));
  });
}

function highlight(row) {
  const characters = Array.from(row.text), parts = [];
  let done = 0;
  for (const entity of row.entities || []) {
    parts.push(characters.slice(done, entity.begin).join(""));
    parts.push(el("mark", { css: { "--hue": hue(entity.label) }, title: `${entity.label} ${score(entity.score)}` },
      characters.slice(entity.begin, entity.end).join(""), el("b", {}, entity.label)));
    done = entity.end;
  }
  parts.push(characters.slice(done).join(""));
  return el("p", { class: "text", lang: "ko" }, parts);
}

function drawFindings(row, columns) {
  const drawn = new Set(["entities", "relations", "dependencies"]);
  const tags = columns.filter(({ column }) => !drawn.has(column) && row[column]).map(({ column, label }) => {
    const items = Array.isArray(row[column]) ? row[column] : [row[column]];
    return items.map((item) => el("span", { class: "tag" }, `${column}: ${item[label]} ${score(item.score)}`));
  });
  const flags = row.flags.map((flag) => el("span", { class: "tag" }, flag));
  const has = (column) => Array.isArray(row[column]) && row[column].length > 0;
  return [el("p", { class: "about" }, tags, flags), highlight(row),
    has("relations") && row.entities ? drawRelations(row) : null,
    has("dependencies") ? el("details", { open: true }, el("summary", {}, "Dependency tree"), drawTree(row)) : null];
}

function drawSample(sample, data) {
  const [row, other] = sample;
  const place = `${row.doc_id} · ${row.sentence_index} · ${row.source}, record ${row.record_index}`;
  if (data.names.length === 1) {
    return el("li", {}, el("p", { class: "about quiet" }, place), drawFindings(row, data.columns));
  }
  const side = (name, found, kind) => el("div", { class: "side" },
    el("p", { class: "about" }, el("span", { class: `key ${kind}` }, name)),
    found ? drawFindings(found, data.columns) : el("p", {}, "This dataset does not have the sentence."));
  return el("li", {}, el("p", { class: "about quiet" }, place),
    side(data.names[0], row, "first"), side(data.names[1], other, "second"));
}

function drawBrowser(data) {
  const samples = data.samples.map((sample) => ({ sample,
    labels: sample.filter(Boolean).flatMap((row) => labelsOf(row, data.columns)),
    text: `${sample[0].text}\n${sample[0].doc_id}`.normalize("NFC").toLowerCase() }));
  const counts = new Map();
  for (const { labels } of samples) {
    for (const key of new Set(labels.map((one) => JSON.stringify([one.column, one.label])))) {
      counts.set(key, (counts.get(key) || 0) + 1);
    }
  }
  const groups = data.columns.map(({ column }) => el("optgroup", { label: column },
    [...counts.keys()].filter((key) => JSON.parse(key)[0] === column).sort().map((key) =>
      el("option", { value: key }, `${JSON.parse(key)[1]} (${counts.get(key)})`))));
  const label = el("select", { id: "label" }, el("option", { value: "" }, "any"), groups);
  const search = el("input", { id: "search", type: "search", autocomplete: "off" });
  const least = el("input", { id: "least", type: "number", min: 0, max: 1, step: 0.05, value: 0 });
  const most = el("input", { id: "most", type: "number", min: 0, max: 1, step: 0.05, value: 1 });
  const order = el("select", { id: "order" }, el("option", { value: "" }, "as sampled"),
    el("option", { value: "unsure" }, "least sure first"));
  const state = el("p", { role: "status", class: "quiet" });
  const list = el("ol", { class: "sentences" });
  const more = el("button", { type: "button", on: { click: () => show(PAGE) } }, "Show more");
  let chosen = [], shown = 0;

  function lowest(one) {
    const scores = one.labels.filter((found) => !label.value || JSON.stringify([found.column, found.label]) === label.value)
      .map((found) => found.score).filter((value) => typeof value === "number");
    return scores.length ? Math.min(...scores) : null;
  }

  function choose() {
    const words = search.value.normalize("NFC").toLowerCase().split(/\s+/).filter(Boolean);
    const [from, to] = [Number(least.value || 0), Number(most.value || 1)];
    chosen = samples.filter((one) => {
      if (!words.every((word) => one.text.includes(word))) return false;
      if (label.value && !one.labels.some((found) => JSON.stringify([found.column, found.label]) === label.value)) return false;
      const value = lowest(one);
      return value === null ? from <= 0 && to >= 1 : value >= from && value <= to;
    });
    if (order.value) chosen.sort((one, other) => (lowest(one) ?? 2) - (lowest(other) ?? 2));
    list.replaceChildren();
    shown = 0;
    show(PAGE);
  }

  function show(number) {
    list.append(...chosen.slice(shown, shown + number).map((one) => drawSample(one.sample, data)));
    shown = Math.min(chosen.length, shown + number);
    more.hidden = shown === chosen.length;
    state.textContent = `${count(chosen.length)} of ${count(samples.length)} sampled sentences; ${count(shown)} are shown.`;
  }

  for (const control of [label, search, least, most, order]) control.addEventListener("input", choose);
  choose();
  const field = (text, control) => el("label", {}, text, control);
  return [el("form", { class: "filters", "aria-label": "Filters", on: { submit: (event) => event.preventDefault() } },
    field("Text or document", search), field("Label", label), field("Lowest score from", least), field("to", most),
    field("Order", order)), state, list, more];
}
