// Page of one recording: play, jump, follow, sort and filter. The drawing is already part of the page. So is the table,
// inside <noscript>: a browser with scripts keeps it as text. Only one page of its rows is laid out at a time, because
// twenty thousand at once would take seconds. All data about the segments is read from these rows.

const $ = (selector) => document.querySelector(selector);
const all = (selector) => [...document.querySelectorAll(selector)];

const audio = $("audio"); // null where the page has no sound
const slider = $(".slider"), scroller = $(".scroller"), playhead = $(".playhead"), tip = $(".tip");
const total = Number(slider.ariaValueMax);

const holder = document.createElement("template");
holder.innerHTML = $(".table noscript").textContent;
const body = holder.content.querySelector("tbody");
const segments = [...body.rows].map((row) => ({
  row,
  start: Number(row.dataset.start),
  end: Number(row.dataset.end),
  channel: row.dataset.channel,
  kind: row.dataset.kind,
  probability: row.dataset.probability === "" ? -1 : Number(row.dataset.probability),
  level: Number(row.dataset.level),
  speaker: row.cells[2].textContent,
  emotion: row.cells[3].textContent.trim(),
  sure: row.cells[4].textContent,
}));
const longest = segments.reduce((most, { start, end }) => Math.max(most, end - start), 0);

let now = 0; // position of the playhead in seconds
let aimed = 0; // last requested position; players start some hundredths of a second off it
let running = null; // the segment at the playhead

// --- Lookup ------------------------------------------------------------------------------------------------------

/** Returns how many segments start at or before a time. */
function startedBy(t) {
  let low = 0, high = segments.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (segments[middle].start <= t) low = middle + 1; else high = middle;
  }
  return low;
}

/** Returns the segment at a time, on a channel if one is given; of several, the one that started last. */
function segmentAt(t, channel = null) {
  for (let k = startedBy(t) - 1; k >= 0 && segments[k].start >= t - longest; k--) {
    if (t < segments[k].end && (channel === null || segments[k].channel === channel)) return segments[k];
  }
  return null;
}

function clock(t) {
  const s = Math.floor(t), two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(s / 3600), minutes = Math.floor(s / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
}

function describe(t, segment) {
  return [clock(t), ...(segment ? [segment.speaker, segment.emotion, segment.sure] : [])].filter(Boolean).join(", ");
}

// --- The playhead ------------------------------------------------------------------------------------------------

/** Moves the playhead to a time, and updates the text about it and the current row. */
function show(t) {
  const wasSeen = isSeen(now);
  now = Math.min(Math.max(t, 0), total);
  playhead.style.left = `${total ? (100 * now) / total : 0}%`;
  if (wasSeen && !isSeen(now)) reveal(now);
  const segment = segmentAt(now);
  slider.ariaValueNow = Number(now.toFixed(2));
  slider.ariaValueText = describe(now, segment);
  $(".now").textContent = describe(now, segment);
  if (segment !== running) {
    running?.row.removeAttribute("aria-current");
    running = segment;
    running?.row.setAttribute("aria-current", "true");
    if (running && !audio?.paused) follow(running);
  }
}

function xOf(t) {
  return total ? (t / total) * slider.offsetWidth : 0;
}

function isSeen(t) {
  return xOf(t) >= scroller.scrollLeft && xOf(t) <= scroller.scrollLeft + scroller.clientWidth;
}

/** Scrolls the timeline so that a time is a fifth of the width from the left. */
function reveal(t) {
  scroller.scrollLeft = xOf(t) - scroller.clientWidth / 5;
}

/** Pages and scrolls only the table, so that the row of a segment is visible, unless it is filtered out. */
function follow(segment) {
  const at = listed.indexOf(segment), row = segment.row;
  if (at < 0) return;
  if (!row.isConnected) list(at - (at % PAGE));
  const top = row.offsetTop - row.offsetHeight, bottom = row.offsetTop + 2 * row.offsetHeight;
  if (top < table.scrollTop) table.scrollTop = top;
  else if (bottom > table.scrollTop + table.clientHeight) table.scrollTop = bottom - table.clientHeight;
}

/** Moves to a time, and plays from there if `play` is set and the page has audio. */
function go(t, play = false) {
  aimed = t;
  if (audio) audio.currentTime = t;
  show(t);
  if (!isSeen(now)) reveal(now);
  if (running) follow(running);
  if (audio && play) audio.play().catch(() => {}); // errors are handled by the error event
}

// --- Audio -------------------------------------------------------------------------------------------------------

function everyFrame() {
  if (audio.paused) return;
  show(audio.currentTime);
  requestAnimationFrame(everyFrame);
}

if (audio) {
  audio.addEventListener("play", everyFrame);
  audio.addEventListener("timeupdate", () => show(audio.currentTime)); // also in a tab that is not visible
  audio.addEventListener("error", () => { $(".silent").hidden = false; });
}

// --- Timeline: pointer and keys ----------------------------------------------------------------------------------

function timeAt(event) {
  const box = slider.getBoundingClientRect();
  return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * total;
}

function channelAt(event) {
  const lane = all(".lane[data-channel]").find((one) => {
    const box = one.getBoundingClientRect();
    return event.clientY >= box.top && event.clientY < box.bottom;
  });
  return lane ? lane.dataset.channel : null;
}

slider.addEventListener("click", (event) => go(timeAt(event), true));

slider.addEventListener("pointermove", (event) => {
  const t = timeAt(event);
  tip.textContent = describe(t, segmentAt(t, channelAt(event)));
  tip.hidden = event.pointerType === "touch";
  const half = tip.offsetWidth / 2 + 4, x = event.clientX - slider.getBoundingClientRect().left;
  const left = scroller.scrollLeft + half, right = scroller.scrollLeft + scroller.clientWidth - half;
  tip.style.left = `${Math.max(left, Math.min(x, right))}px`;
});
slider.addEventListener("pointerleave", () => { tip.hidden = true; });

/** Returns the start point for moving by segments: the last requested position while the playhead is close to it. */
function position() {
  return Math.abs(now - aimed) < 0.2 ? aimed : now;
}

/** Returns the start of the segment before the current one; 0 if there is none. */
function previousStart() {
  const from = segmentAt(position())?.start ?? position();
  return segments.slice(0, startedBy(from)).findLast(({ start }) => start < from)?.start ?? 0;
}

/** Returns the start of the next segment, if there is one. */
function nextStart() {
  return segments[startedBy(position())]?.start;
}

const KEYS = {
  ArrowLeft: () => go(previousStart(), true),
  ArrowRight: () => { if (nextStart() !== undefined) go(nextStart(), true); },
  Home: () => go(0),
  End: () => go(total),
  " ": () => { if (audio) { if (audio.paused) audio.play().catch(() => {}); else audio.pause(); } },
};

slider.addEventListener("keydown", (event) => {
  const act = event.ctrlKey || event.metaKey || event.altKey ? null : KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

// --- Address -----------------------------------------------------------------------------------------------------

function goToHash() {
  const found = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
  if (!found) return;
  go(Math.min(Number(found[1]), total));
  reveal(now);
  $(".timeline").scrollIntoView({ block: "nearest" });
}

addEventListener("hashchange", goToHash);
// A link to the current address fires no hashchange event, but must move the playhead, too.
all('a[href^="#t="]').forEach((a) => a.addEventListener("click", () => { if (a.hash === location.hash) goToHash(); }));

// --- Table -------------------------------------------------------------------------------------------------------

const PAGE = 1000; // rows laid out at a time
const table = $(".table"), filters = all(".filters select"), collator = new Intl.Collator("en");
let order = segments; // all segments, sorted
let listed = segments; // segments that pass the filters
let first = 0; // index in `listed` of the first row shown

/** Shows the page of the table that starts at an index in `listed`. */
function list(from) {
  first = from;
  const page = document.createDocumentFragment();
  listed.slice(first, first + PAGE).forEach(({ row }) => page.append(row));
  body.replaceChildren(page);
  table.scrollTop = 0;
  const number = (n) => n.toLocaleString("en"), until = Math.min(first + PAGE, listed.length);
  const paged = listed.length > PAGE ? `${number(first + 1)} to ${number(until)} of ` : "";
  const filtered = listed.length < segments.length ? ` of ${number(segments.length)}` : "";
  $(".count").textContent = `${paged}${number(listed.length)}${filtered} segment${segments.length === 1 ? "" : "s"}`;
  $(".none").hidden = listed.length > 0;
  $(".pager").hidden = !paged;
  $(".back").disabled = first === 0;
  $(".on").disabled = until === listed.length;
}

function filter() {
  const wanted = filters.filter((select) => select.value);
  listed = order.filter((segment) => wanted.every((select) => segment[select.name] === select.value));
  list(0);
}

function sortBy(header) {
  const by = header.dataset.by, sign = header.ariaSort === "ascending" ? -1 : 1;
  const compare = typeof segments[0]?.[by] === "string" ? collator.compare : (a, b) => a - b;
  order = [...segments].sort((a, b) => sign * compare(a[by], b[by]));
  all("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
  header.ariaSort = sign > 0 ? "ascending" : "descending";
  filter();
}

body.addEventListener("click", (event) => {
  const row = event.target.closest("button")?.closest("tr");
  if (row) go(Number(row.dataset.start), true);
});

$(".table noscript").replaceWith(holder.content);
for (const header of all("th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = header.textContent;
  button.addEventListener("click", () => sortBy(header));
  header.replaceChildren(button);
}
filters.forEach((select) => select.addEventListener("change", filter));
$(".back").addEventListener("click", () => list(first - PAGE));
$(".on").addEventListener("click", () => list(first + PAGE));
addEventListener("beforeprint", () => listed.forEach(({ row }) => body.append(row)));
addEventListener("afterprint", () => list(first));

// --- Start: show what needs scripts ------------------------------------------------------------------------------

[slider, $(".now"), ...all(".filters label")].forEach((element) => { element.hidden = false; });
list(0);
show(0);
goToHash();
