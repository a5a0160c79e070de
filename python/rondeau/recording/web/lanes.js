// The timeline itself: a ruler, the loops' lanes, which stay, and a lane for each task, of which only those in sight are drawn.

const canvas = $("lanes"), scroller = $("scroller"), spacer = $("spacer");
const RULER = 26, NAMES = 210;
const layout = { width: 0, height: 0, row: 22, names: NAMES, head: 0 };
let hovered = null; // {lane, time}
let fixed = []; // the pinned lanes that have anything in them
let dragged = null; // a range that is being drawn on the ruler

function measure() {
  layout.width = spacer.clientWidth;
  layout.names = layout.width < 700 ? 110 : NAMES;
  layout.row = tasks <= 12 ? 40 : tasks <= 40 ? 28 : 22;
  layout.head = RULER + fixed.length * pinnedRow() + 5;
  const whole = layout.head + order.length * layout.row + 6;
  spacer.style.height = `${whole}px`;
  const style = getComputedStyle(scroller);
  layout.height = Math.max(Math.min(whole, parseFloat(style.maxHeight) || 600), layout.head + 30);
}

const pinnedRow = () => Math.min(layout.row, 30);
const timeAt = (x) => shown.from + ((x - layout.names) / (layout.width - layout.names)) * (shown.to - shown.from);
const xAt = (time) => layout.names + ((time - shown.from) / (shown.to - shown.from)) * (layout.width - layout.names);

// Where a lane's strip begins, or null if the lane is filtered away. Pinned lanes do not scroll.
let rowOf = new Map();
function topOf(lane) {
  if (lane < pinned) return RULER + fixed.indexOf(lane) * pinnedRow();
  const row = rowOf.get(lane);
  return row === undefined ? null : layout.head + row * layout.row - scroller.scrollTop;
}

function laneAt(y) {
  if (y < RULER) return -1;
  if (y < layout.head - 5) return fixed[Math.floor((y - RULER) / pinnedRow())] ?? -1;
  return order[Math.floor((y - layout.head + scroller.scrollTop) / layout.row)] ?? -1;
}

let arranged = null;
function drawLanes() {
  if (arranged !== order) {
    rowOf = new Map(order.map((lane, row) => [lane, row]));
    arranged = order;
  }
  measure();
  const { width, height, row, names, head } = layout;
  const pen = prepare(canvas, width, height);
  const area = { left: names, width: width - names, ...shown };
  const { found, step } = ticks(shown.from, shown.to, area.width);
  pen.fillStyle = colours.line;
  for (const tick of found) pen.fillRect(Math.round(xAt(tick)), RULER - 6, 1, height);

  pen.save();
  pen.beginPath();
  pen.rect(0, head, width, height - head);
  pen.clip();
  const top = Math.max(0, Math.floor(scroller.scrollTop / row));
  const until = Math.min(order.length, Math.ceil((scroller.scrollTop + height - head) / row));
  for (let n = top; n < until; n++) drawRow(pen, order[n], head + n * row - scroller.scrollTop, row, area);
  drawBlocked(pen, head, height - head, true);
  if ($("arrows").checked || selected >= pinned) drawArrows(pen, top, until);
  pen.restore();

  pen.fillStyle = colours.card;
  pen.fillRect(0, RULER, width, head - RULER);
  for (const lane of fixed) drawRow(pen, lane, topOf(lane), pinnedRow(), area);
  drawBlocked(pen, RULER, fixed.length * pinnedRow(), false);
  pen.fillStyle = colours.line;
  pen.fillRect(0, head - 3, width, 1);
  drawRuler(pen, found, step);
}

function drawRuler(pen, found, step) {
  const { width, names } = layout;
  pen.fillStyle = colours.card;
  pen.fillRect(0, 0, width, RULER - 6);
  pen.fillStyle = colours.soft;
  for (const tick of found) {
    const name = tickName(tick, step);
    const x = xAt(tick) + 4;
    if (x + pen.measureText(name).width < width) pen.fillText(name, x, 12);
  }
  pen.fillText(`${duration(shown.to - shown.from)} shown`, 18, 12);
  if (dragged) {
    const [a, b] = [xAt(dragged.from), xAt(dragged.to)];
    pen.fillStyle = colours.focus;
    pen.globalAlpha = 0.18;
    pen.fillRect(Math.min(a, b), 0, Math.abs(b - a), layout.height);
    pen.globalAlpha = 1;
  } else if (hovered && hovered.x > names) {
    pen.fillStyle = colours.soft;
    pen.globalAlpha = 0.6;
    pen.fillRect(hovered.x, RULER - 6, 1, layout.height);
    pen.globalAlpha = 1;
  }
}

function drawRow(pen, lane, top, row, area) {
  if (lane === selected || (hovered && hovered.lane === lane)) {
    pen.fillStyle = colours.hover;
    pen.fillRect(0, top, layout.width, row);
  }
  const gap = row > 30 ? 6 : row > 24 ? 4 : 3;
  pen.save();
  pen.beginPath();
  pen.rect(area.left, top, area.width, row);
  pen.clip();
  paintLane(pen, lane, { ...area, top: top + gap, height: row - 2 * gap });
  pen.restore();
  pen.fillStyle = lane === selected ? colours.running : colours.line;
  if (lane === selected) pen.fillRect(0, top, 3, row);
  const { name, outcome } = lanes[lane];
  pen.fillStyle = lane < pinned ? colours.soft : colours.ink;
  const failed = outcome === "failed" ? 14 : 0;
  const [loud, soft = ""] = lanes[lane].label ?? [name];
  const room = area.left - 28 - failed, seen = fit(pen, loud, room, 8);
  pen.fillText(seen, 18, top + row / 2);
  const wide = pen.measureText(seen).width;
  pen.fillStyle = colours.soft;
  if (soft && seen === loud) pen.fillText(fit(pen, soft, room - wide), 18 + wide, top + row / 2);
  if (failed) {
    pen.fillStyle = colours.blocked;
    pen.fillText("✗", area.left - 20, top + row / 2);
  }
}

// What was blocked: hatched in the loop's lane, a veil over everybody else's.
function drawBlocked(pen, top, height, veil) {
  for (const [number, loop] of data.loops.entries()) {
    for (const [since, until] of loop[6]) {
      if (until < shown.from || since > shown.to) continue;
      const x = Math.max(xAt(since), layout.names), end = Math.max(Math.min(xAt(until), layout.width), x + 2);
      if (veil) {
        pen.fillStyle = colours.blocked;
        pen.globalAlpha = 0.1;
        pen.fillRect(x, top, end - x, height);
        pen.globalAlpha = 1;
      } else {
        pen.fillStyle = pen.createPattern(hatch, "repeat");
        pen.fillRect(x, topOf(2 * number) + 3, end - x, pinnedRow() - 6);
      }
    }
  }
}

// From who woke to who was woken, at the moment of it. Many at once would be a tangle: then only the selected task's.
function drawArrows(pen, top, until) {
  const arrows = [];
  const seen = selected >= pinned && !$("arrows").checked ? [] : order.slice(top, until);
  if (selected >= pinned && !seen.includes(selected)) seen.push(selected);
  let many = 0;
  for (const lane of seen) {
    const last = segmentAt(lane, shown.to);
    for (let i = Math.max(segmentAt(lane, shown.from), first[lane]); i <= last && many < 600; i++) {
      const by = state[i] === READY && reference[i] ? laneOf.get(reference[i]) : undefined;
      if (by === undefined || start[i] < shown.from || by === lane) continue;
      if (topOf(by) === null || topOf(lane) === null) continue;
      arrows.push([by, lane, start[i]]);
      many++;
    }
  }
  const crowded = arrows.length > 120;
  for (const [by, lane, time] of arrows) {
    const mine = by === selected || lane === selected;
    if (crowded && !mine) continue;
    const x = Math.round(xAt(time)) + 0.5;
    const down = topOf(lane) > topOf(by);
    const gap = layout.row * 0.18;
    const y1 = topOf(by) + layout.row / 2, y2 = down ? topOf(lane) + gap : topOf(lane) + layout.row - gap;
    pen.strokeStyle = pen.fillStyle = mine ? colours.focus : colours.soft;
    pen.lineWidth = mine ? 1.8 : 1;
    pen.beginPath();
    pen.arc(x, y1, 2, 0, 7);
    pen.fill();
    pen.beginPath();
    pen.moveTo(x, y1);
    pen.lineTo(x, y2);
    pen.stroke();
    pen.beginPath();
    pen.moveTo(x, y2);
    pen.lineTo(x - 3.5, y2 + (down ? -6 : 6));
    pen.lineTo(x + 3.5, y2 + (down ? -6 : 6));
    pen.fill();
  }
}

// Bring the selected lane into sight.
function reveal(lane) {
  const row = rowOf.get(lane);
  if (row === undefined) return;
  const top = row * layout.row, room = layout.height - layout.head;
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  else if (top + layout.row > scroller.scrollTop + room) scroller.scrollTop = top + layout.row - room;
}
