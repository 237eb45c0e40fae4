// The sections of figures. `data.figures` has one or two datasets.
const KINDS = ["first", "second"];
const both = (data, draw) => data.figures.map((figures, at) => draw(figures, at));
const legend = (data) => (data.names.length < 2 ? null
  : el("p", {}, data.names.map((name, at) => [el("span", { class: `key ${KINDS[at]}` }, name), "  "])));
const unite = (lists) => [...new Set(lists.flat())];

function drawSummary(data) {
  const pairs = (pick) => {
    const found = data.figures.map((figures) => new Map(pick(figures)));
    return unite(found.map((one) => [...one.keys()])).map((key) => [key, ...found.map((one) => one.get(key) ?? "")]);
  };
  const heads = (what, kind) => [[what, null], ...data.names.map((name) => [name, kind])];
  return [el("div", { class: "columns" },
    table("What it holds", heads("what", "number"), pairs((one) => one.counts)),
    table("What made it", heads("part", "wide"), pairs((one) => one.provenance))),
  both(data, (figures, at) => el("details", {},
    el("summary", {}, `Configuration and sources${data.names.length > 1 ? `: ${data.names[at]}` : ""}`),
    el("pre", { tabindex: 0, role: "group", "aria-label": "Configuration" }, JSON.stringify(figures.config, null, 1)),
    table(`Sources: ${count(figures.source_count)}${figures.source_count > figures.sources.length ? ", the first are listed" : ""}`,
      [["file", "wide"], ["bytes", "number"]], figures.sources)))];
}

function drawLabels(data) {
  return [legend(data), el("div", { class: "columns" }, taskNames(data).map((task) => {
    const found = data.figures.map((figures) => figures.labels.find((one) => one.task === task));
    const rows = found.map((one) => new Map(one ? one.rows.map((row) => [row[0], row]) : []));
    const share = (at, label) => (rows[at].has(label) ? rows[at].get(label)[1] / found[at].total : 0);
    const labels = unite(rows.map((one) => [...one.keys()]));
    const title = found.find(Boolean).title;
    const more = found.some((one) => one && one.unlisted) ? "; rarer labels are not listed" : "";
    if (data.names.length === 1) {
      return el("div", {}, el("h3", {}, `${title} (${task})`), table(`${count(found[0].total)} labels${more}`,
        [["label", null], ["count", "number"], ["share", "share"], ["mean score", "number"]],
        labels.map((label) => [label, rows[0].get(label)[1], bar(share(0, label), "first"), score(rows[0].get(label)[2])])));
    }
    const heads = [["label", null], [data.names[0], "share"], [data.names[1], "share"], ["change", "number"]];
    return el("div", {}, el("h3", {}, `${title} (${task})`), table(
      `${found.map((one) => count(one ? one.total : 0)).join(" and ")} labels${more}; change in points of percent`, heads,
      labels.map((label) => [label, bar(share(0, label), "first"), bar(share(1, label), "second"),
        change(share(1, label) - share(0, label))])));
  }))];
}

const taskNames = (data) => unite(data.figures.map((figures) => figures.labels.map((one) => one.task)));

function change(difference) {
  const points = 100 * difference;
  const text = `${points > 0 ? "+" : points < 0 ? "−" : "±"}${Math.abs(points).toFixed(2)}`;
  return Math.abs(points) < 1 ? text : el("span", { class: points > 0 ? "up" : "down" }, text);
}

function drawScores(data) {
  const tasks = taskNames(data).filter((task) => data.figures.some((figures) =>
    figures.labels.some((one) => one.task === task && one.bins)));
  const ticks = Array.from({ length: 20 }, (_, at) => `${(at / 20).toFixed(2)} to ${((at + 1) / 20).toFixed(2)}`);
  return [el("p", {}, "What a model holds for likely, from 0 to 1. How often it is right at a score is not shown here: ",
    "that needs labelled rows, see klue-beam evaluate."), legend(data),
  el("div", { class: "columns" }, tasks.map((task) => {
    const found = data.figures.map((figures) => figures.labels.find((one) => one.task === task));
    return el("div", {}, el("h3", {}, `${found.find(Boolean).title} (${task})`),
      histogram(`Scores of ${task}`, data.names, ticks, found.map((one) => (one && one.bins) || ticks.map(() => 0))));
  }))];
}

function drawLengths(data) {
  return [legend(data), el("div", { class: "columns" }, data.figures[0].lengths.map(({ title }, which) => {
    const found = data.figures.map((figures) => figures.lengths[which]);
    const ends = unite(found.map((one) => one.bins.map((bin) => `${count(bin[0])} to ${count(bin[1])}`)));
    ends.sort((one, other) => parseInt(one.replaceAll(",", ""), 10) - parseInt(other.replaceAll(",", ""), 10));
    const series = found.map((one) => {
      const bins = new Map(one.bins.map((bin) => [`${count(bin[0])} to ${count(bin[1])}`, bin[2]]));
      return ends.map((end) => bins.get(end) || 0);
    });
    const quantiles = unite(found.map((one) => one.quantiles.map(([name]) => name)));
    const rows = quantiles.map((name) => [name, ...found.map((one) => new Map(one.quantiles).get(name) ?? "")]);
    rows.push(["mean", ...found.map((one) => one.mean.toFixed(1))]);
    return el("div", {}, el("h3", {}, title), ends.length ? histogram(title, data.names, ends, series) : null,
      table(`Quantiles: ${title}`, [["quantile", null], ...data.names.map((name) => [name, "number"])], rows));
  }))];
}

function drawEntities(data) {
  return both(data, (figures, at) => {
    const kinds = unite(figures.entities.map((row) => row[0]));
    return [data.names.length > 1 ? el("h3", {}, data.names[at]) : null, el("div", { class: "columns" },
      kinds.map((kind) => table(`Most frequent ${kind}`, [["text", null], ["count", "number"]],
        figures.entities.filter((row) => row[0] === kind).map((row) => [row[1], row[2]]))))];
  });
}

function drawTriples(data) {
  const chip = (text, kind) => el("mark", { css: { "--hue": hue(kind) } }, text, el("b", {}, kind));
  return both(data, (figures, at) => table(
    `Most frequent relations${data.names.length > 1 ? `: ${data.names[at]}` : ""}`,
    [["subject", null], ["label", null], ["object", null], ["count", "number"], ["mean score", "number"]],
    figures.triples.map(([subject, subjectKind, label, object, objectKind, number, mean]) =>
      [chip(subject, subjectKind), `– ${label} →`, chip(object, objectKind), number, score(mean)])));
}

function drawTypesByTopic(data) {
  return both(data, (figures, at) => {
    const topics = unite(figures.types_by_topic.map((row) => row[0])), kinds = unite(figures.types_by_topic.map((row) => row[1]));
    const found = new Map(figures.types_by_topic.map(([topic, kind, number]) => [JSON.stringify([topic, kind]), number]));
    const get = (topic, kind) => found.get(JSON.stringify([topic, kind])) || 0;
    const rows = topics.map((topic) => {
      const total = kinds.reduce((sum, kind) => sum + get(topic, kind), 0);
      return [topic, ...kinds.map((kind) => (total ? percent(get(topic, kind) / total) : "")), total];
    });
    return table(`Share of entity types within each topic${data.names.length > 1 ? `: ${data.names[at]}` : ""}`,
      [["topic", null], ...kinds.map((kind) => [kind, "number"]), ["entities", "number"]], rows);
  });
}

function drawFaults(data) {
  const said = { reject: "rejected records", drop: "dropped by cleaning", flag: "flagged sentences" };
  return both(data, (figures, at) => [data.names.length > 1 ? el("h3", {}, data.names[at]) : null,
    figures.faults.length ? null : el("p", {}, "No record was rejected, nothing was dropped, no sentence has a flag."),
    figures.faults.map((fault) => el("details", {},
      el("summary", {}, `${said[fault.kind]}: ${fault.reason} (${count(fault.count)})`),
      table(`Examples: ${fault.reason}`, [["source", "wide"], ["record", "number"], ["why", "wide"], ["text", "wide"]],
        fault.examples.map(([source, record, why, text]) => [source, record ?? "", why, text]))))]);
}

// A share that differs from that of all parts by more than chance would is shaded, and has an arrow.
function drawDrift(data) {
  return both(data, (figures, at) => figures.labels.map((one) => {
    const labels = one.rows.slice(0, 8).map((row) => row[0]);
    if (figures.parts.length < 2 || !labels.length) return null;
    const rows = figures.parts.map((name, part) => {
      const total = one.by_part[part][one.by_part[part].length - 1];
      const cells = labels.map((label, place) => {
        const share = total ? one.by_part[part][place] / total : 0, whole = one.rows[place][1] / one.total;
        const off = Math.abs(share - whole) > 0.02
          && Math.abs(share - whole) > 4 * Math.sqrt((whole * (1 - whole)) / Math.max(total, 1));
        return off ? el("span", { class: "shade", css: { "--hue": share > whole ? "140" : "350" } },
          `${share > whole ? "▲" : "▼"} ${percent(share)}`) : percent(share);
      });
      return [name, ...cells, total];
    });
    const title = `${one.title} (${one.task})${data.names.length > 1 ? `: ${data.names[at]}` : ""}`;
    return el("details", { open: one === figures.labels[0] }, el("summary", {}, title),
      table(`Shares of the most frequent labels by part: ${title}`,
        [["part", null], ...labels.map((label) => [label, "number"]), ["labels", "number"]], rows));
  }));
}

function drawMoved(data) {
  const { sentences: [first, second, common], labels } = data.moved;
  return [el("p", {}, `${count(common)} sentences are in both datasets, at the same places of the same sources `,
    `(${count(first)} and ${count(second)} in all). Labels of these are compared, at the same characters.`),
  el("div", { class: "columns" }, labels.map((one) => el("div", {}, el("h3", {}, `${one.title} (${one.task})`), table(
    `${count(one.same)} labels are the same, ${count(one.moved)} moved (${percent(one.moved / Math.max(1, one.same + one.moved))})`,
    [[data.names[0], null], [data.names[1], null], ["count", "number"]],
    one.moves.map(([before, after, number]) => [before ?? "(none)", after ?? "(none)", number])))))];
}

function main() {
  const data = JSON.parse(document.getElementById("data").textContent);
  for (const figures of data.figures) for (const [kind] of figures.entities) hue(kind);
  const some = (pick) => data.figures.some((figures) => pick(figures).length > 0);
  const sections = [
    ["summary", "Summary", drawSummary, true],
    ["moved", "Labels that moved", drawMoved, Boolean(data.moved)],
    ["labels", "Labels", drawLabels, some((one) => one.labels)],
    ["scores", "Scores", drawScores, some((one) => one.labels.filter((label) => label.bins))],
    ["lengths", "Lengths", drawLengths, true],
    ["entities", "Entities", drawEntities, some((one) => one.entities)],
    ["relations", "Relations", drawTriples, some((one) => one.triples)],
    ["topics", "Entity types by topic", drawTypesByTopic, some((one) => one.types_by_topic)],
    ["faults", "Rejects, drops and flags", drawFaults, true],
    ["drift", "Drift over files", drawDrift, data.figures.some((one) => one.parts.length > 1)],
    ["sentences", "Sentences", drawBrowser, data.samples.length > 0],
  ].filter((section) => section[3]);
  const page = document.getElementById("main"), list = document.getElementById("sections");
  for (const [id, title, draw] of sections) {
    list.append(el("li", {}, el("a", { href: `#${id}` }, title)));
    page.append(el("section", { id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title` }, title),
      draw(data).flat(Infinity).filter(Boolean)));
  }
}

main();
