// The strip above the lanes: how many tasks ran, were ready, or waited for what, over the whole time. The range shown is a window
// in it: drag to choose another, drag the window to move it, turn the wheel to zoom.

const strip = $("overview");
const HIGH = 78;
let profile = null; // for each state, how many lanes were in it, for each bin
const BINS = 1200;

// A task that was in a state from a to b adds its share to each bin: the change at a and at b, each split between two bins, so
// that sums over the bins are exact.
function takeProfile() {
  const states = WAITING + data.kinds.length;
  const change = Array.from({ length: states }, () => new Float64Array(BINS + 2));
  const scale = BINS / (whole[1] - whole[0]);
  for (let lane = pinned; lane < lanes.length; lane++) {
    for (let i = first[lane]; i < first[lane + 1]; i++) {
      if (state[i] === NOTHING) continue;
      const line = change[state[i]];
      for (const [time, sign] of [[start[i], 1], [endOf(lane, i), -1]]) {
        const bin = Math.min(Math.floor(time * scale), BINS);
        const rest = Math.min(time * scale - bin, 1);
        line[bin] += sign * (1 - rest);
        line[bin + 1] += sign * rest;
      }
    }
  }
  profile = [];
  let most = 0;
  const sums = new Float64Array(BINS);
  for (let what = RUNNING; what < states; what++) {
    const line = new Float64Array(BINS);
    let now = 0, any = false;
    for (let bin = 0; bin < BINS; bin++) {
      now += change[what][bin];
      line[bin] = Math.max(now, 0);
      sums[bin] += line[bin];
      any ||= line[bin] > 1e-9;
    }
    if (any) profile.push({ what, line });
  }
  for (const sum of sums) most = Math.max(most, sum);
  // Who only waits for the others lies on top of them.
  const inner = WAITING + data.kinds.indexOf("task");
  profile.sort((a, b) => (a.what === inner) - (b.what === inner) || a.what - b.what);
  profile.most = Math.max(most, 1);
}

const stripLeft = () => layout.names;
const stripWidth = () => layout.width - stripLeft(); // ends where the lanes do, beside their scroll bar
const stripTime = (x) => ((x - stripLeft()) / stripWidth()) * whole[1];

// What does not change with the range: painted once for a width and a theme.
const painted = document.createElement("canvas");
let paintedFor = "";

function paintProfile(width, left, wide) {
  if (!profile) takeProfile();
  const pen = prepare(painted, width, HIGH);
  const room = HIGH - 12;
  const base = new Float64Array(BINS);
  const height = (value) => HIGH - 1 - (value / profile.most) * room;
  for (const { what, line } of profile) {
    pen.fillStyle = colours[colourName(what)];
    pen.globalAlpha = what >= WAITING ? 0.62 : 1;
    pen.beginPath();
    for (let bin = 0; bin < BINS; bin++) {
      pen.lineTo(left + (bin / BINS) * wide, height(base[bin] + line[bin]));
      pen.lineTo(left + ((bin + 1) / BINS) * wide, height(base[bin] + line[bin]));
    }
    for (let bin = BINS - 1; bin >= 0; bin--) {
      pen.lineTo(left + ((bin + 1) / BINS) * wide, height(base[bin]));
      pen.lineTo(left + (bin / BINS) * wide, height(base[bin]));
      base[bin] += line[bin];
    }
    pen.fill();
  }
  pen.globalAlpha = 1;
  for (const loop of data.loops) {
    for (const [since, until] of loop[6]) {
      pen.fillStyle = pen.createPattern(hatch, "repeat");
      pen.fillRect(left + (since / whole[1]) * wide, 0, Math.max(((until - since) / whole[1]) * wide, 2), 6);
    }
  }
  pen.fillStyle = colours.soft;
  pen.fillText("tasks alive", 18, 16);
  pen.fillText(`at most ${count(tasks && Math.round(profile.most))}`, 18, 33);
}

function drawOverview() {
  const width = layout.width, left = stripLeft(), wide = stripWidth();
  const look = `${width} ${left} ${devicePixelRatio} ${document.documentElement.dataset.theme}`;
  if (look !== paintedFor) paintProfile(width, left, wide);
  paintedFor = look;
  const pen = prepare(strip, strip.clientWidth, HIGH);
  pen.drawImage(painted, 0, 0, width, HIGH);
  const a = left + (shown.from / whole[1]) * wide, b = left + (shown.to / whole[1]) * wide;
  if (b - a < wide - 1) {
    pen.fillStyle = colours.card;
    pen.globalAlpha = 0.72;
    pen.fillRect(left, 0, a - left, HIGH);
    pen.fillRect(b, 0, width - b, HIGH);
    pen.globalAlpha = 1;
    pen.strokeStyle = colours.focus;
    pen.lineWidth = 1.5;
    pen.strokeRect(a, 1, Math.max(b - a, 2), HIGH - 3);
  }
  if (stripDrag?.from !== undefined && stripDrag.to !== undefined) {
    const [c, d] = [stripDrag.from, stripDrag.to].map((time) => left + (time / whole[1]) * wide);
    pen.fillStyle = colours.focus;
    pen.globalAlpha = 0.25;
    pen.fillRect(Math.min(c, d), 0, Math.abs(d - c), HIGH);
    pen.globalAlpha = 1;
  }
  strip.setAttribute("aria-valuenow", String(Math.round((shown.from / whole[1]) * 100)));
  strip.setAttribute("aria-valuetext", `${duration(shown.from)} to ${duration(shown.to)} of ${duration(whole[1])}`);
}

let stripDrag = null;

strip.addEventListener("pointerdown", (event) => {
  strip.setPointerCapture(event.pointerId);
  const time = stripTime(event.offsetX);
  const part = shown.to - shown.from < (whole[1] - whole[0]) * 0.999;
  if (part && time > shown.from && time < shown.to) stripDrag = { move: time - shown.from };
  else stripDrag = { from: time };
});
strip.addEventListener("pointermove", (event) => {
  if (!stripDrag) return;
  const time = stripTime(event.offsetX);
  if (stripDrag.move !== undefined) pan((time - stripDrag.move - shown.from) / (shown.to - shown.from));
  else stripDrag.to = time;
  refresh();
});
strip.addEventListener("pointerup", () => {
  const { from, to } = stripDrag ?? {};
  stripDrag = null;
  if (to !== undefined && Math.abs(to - from) > whole[1] / 500) show(Math.min(from, to), Math.max(from, to));
  refresh();
});
strip.addEventListener("dblclick", showAll);
strip.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(event.deltaY * 0.002), stripTime(event.offsetX));
}, { passive: false });
