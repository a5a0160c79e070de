// The tasks as a table, sorted by any column; the timeline follows its order. Only the rows in sight exist.

const COLUMNS = [
  ["name", "task"], ["place", "where"], ["began", "made at"], ["lifetime", "lived"], ["running", "ran"], ["waited", "waited"],
  ["ready", "ready"], ["delay", "longest delay"], ["outcome", "end"],
];
const ROW = 30;
const grid = $("grid");
const heads = make("div", { name: "row heads", role: "row" });
const rows = make("div", { name: "rows", role: "rowgroup", tabindex: "0", "aria-label": "Tasks; arrow up and down select" });
const filler = make("div");
rows.append(filler);
grid.append(make("div", { role: "rowgroup" }, heads), rows);

for (const [by, title] of COLUMNS) {
  const button = make("button", { type: "button", text: title, on: { click: () => sortBy(by) } });
  heads.append(make("div", { role: "columnheader", name: ["name", "place", "outcome"].includes(by) ? "" : "n", "data-by": by }, button));
}

function sortBy(by) {
  const number = !["name", "place", "outcome", "began"].includes(by);
  sorting.down = sorting.by === by ? !sorting.down : number;
  sorting.by = by;
  arrange();
  scroller.scrollTop = rows.scrollTop = 0;
}

let drawnFor = [];
function drawTable() {
  const now = [order, selected, rows.scrollTop, sorting.by, sorting.down];
  if (now.every((each, n) => each === drawnFor[n])) return;
  drawnFor = now;
  for (const head of heads.children) {
    const mine = head.dataset.by === sorting.by;
    head.setAttribute("aria-sort", mine ? (sorting.down ? "descending" : "ascending") : "none");
  }
  const all = order.length;
  filler.style.height = `${all * ROW}px`;
  rows.style.height = `${Math.min(all * ROW, 470)}px`;
  grid.setAttribute("aria-rowcount", String(all + 1));
  const top = Math.max(0, Math.floor(rows.scrollTop / ROW) - 2);
  const until = Math.min(all, Math.ceil((rows.scrollTop + 470) / ROW) + 2);
  const drawn = [];
  for (let n = top; n < until; n++) drawn.push(tableRow(order[n], n));
  rows.replaceChildren(filler, ...drawn);
  $("tasks-note").textContent = wanted ? `${count(all)} of ${count(tasks)}` : count(tasks);
  $("found").textContent = wanted ? `${count(all)} of ${count(tasks)} tasks` : "";
}

function tableRow(lane, n) {
  const { name, place, began, ended, running, waited, ready, delay, outcome } = lanes[lane];
  const cells = [name, place, duration(began), duration(ended - began), duration(running), duration(waited), duration(ready), duration(delay), outcome];
  const row = make("div", {
    name: "row", role: "row", "aria-rowindex": String(n + 2), "aria-selected": String(lane === selected),
    on: { click: () => { select(lane); reveal(lane); } },
  });
  cells.forEach((text, column) => {
    const number = column > 1 && column < 8;
    row.append(make("div", { role: "cell", name: number ? "n" : outcome === "failed" && column === 8 ? "failed" : column === 1 ? "mono" : "", text, title: number ? "" : text }));
  });
  row.style.top = `${n * ROW}px`;
  return row;
}

// The next or the previous task, in the table's order.
function step(by) {
  if (!order.length) return;
  const now = order.indexOf(selected);
  const next = now < 0 ? (by > 0 ? 0 : order.length - 1) : Math.min(Math.max(now + by, 0), order.length - 1);
  select(order[next]);
  reveal(order[next]);
  const top = next * ROW;
  if (top < rows.scrollTop) rows.scrollTop = top;
  else if (top + ROW > rows.scrollTop + rows.clientHeight) rows.scrollTop = top + ROW - rows.clientHeight;
}

rows.addEventListener("scroll", refresh);
