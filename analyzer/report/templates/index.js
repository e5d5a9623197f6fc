// List of recordings: sorts and filters all rows, and shows a few hundred at a time.

const $ = (selector) => document.querySelector(selector);
const all = (selector) => [...document.querySelectorAll(selector)];

const FIELDS = [ // fields of a row, in the order of the data
  "recording", "href", "recorded", "speakers", "status", "length", "talk", "negative", "passageStart", "passage",
  "note", "groups", "passageSeconds",
];
const CHUNK = 200; // rows added at a time
const body = $("tbody"), collator = new Intl.Collator("en", { numeric: true });

const recordings = JSON.parse($("#rows").textContent).map((values) => {
  const recording = Object.fromEntries(FIELDS.map((field, k) => [field, values[k]]));
  recording.text = `${recording.recording}\n${recording.groups}\n${recording.note}`.toLowerCase();
  return recording;
});
$("#rows").remove();

let order = recordings; // all recordings, sorted
let listed = recordings; // recordings that pass the filters
let shown = 0; // number of listed recordings in the table

// --- One row -----------------------------------------------------------------------------------------------------

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

function clock(seconds) {
  if (seconds === null) return "";
  const s = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(s / 3600), minutes = Math.floor(s / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
}

function linked(text, href) {
  return href === null ? text : element("a", { href }, text);
}

function share(of) {
  if (of === null) return "";
  const percent = Math.round(100 * of), bar = element("i", { "aria-hidden": "true" });
  bar.style.setProperty("--share", `${percent}%`);
  return element("span", { class: "share" }, bar, `${percent}\u00a0%`);
}

function details(text) {
  return text ? element("span", { class: "details" }, text) : null;
}

function rowOf(r) {
  const there = r.passageStart === null || r.href === null ? null : `${r.href}#t=${r.passageStart}`;
  const isBad = !["ok", "no_speech"].includes(r.status);
  const status = element("span", { class: isBad ? "status bad" : "status" }, words(r.status));
  const cell = (label, ...children) => element("td", { role: "cell", "data-label": label }, ...children);
  const number = (label, text) => element("td", { role: "cell", "data-label": label, class: "number" }, text);
  return element("tr", { role: "row" },
    cell("recording", linked(r.recording, r.href), details(r.groups), details(r.note)),
    cell("recorded", r.recorded),
    cell("speakers", r.speakers),
    number("length", clock(r.length)),
    number("speech", clock(r.talk)),
    cell("negative", share(r.negative)),
    cell("negative passage", linked(r.passage, there)),
    cell("status", status));
}

function words(status) {
  return status.replaceAll("_", " ");
}

// --- Filtering and sorting ---------------------------------------------------------------------------------------

function showMore() {
  const more = listed.slice(shown, shown + CHUNK);
  body.append(...more.map(rowOf));
  shown += more.length;
  $(".more").hidden = shown === listed.length;
  $(".more").textContent = `Show more (${(listed.length - shown).toLocaleString("en")} left)`;
}

function list() {
  body.replaceChildren();
  shown = 0;
  showMore();
  const [some, of] = [listed.length, recordings.length].map((n) => n.toLocaleString("en"));
  $(".count").textContent = `${some === of ? "" : `${some} of `}${of} recording${of === "1" ? "" : "s"}`;
  $(".none").hidden = listed.length > 0;
}

function filter() {
  const field = (name) => $(`.filters [name="${name}"]`);
  const wanted = field("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const status = field("status").value, passage = field("passage").checked;
  const from = field("from").value, to = field("to").value;
  listed = order.filter((r) => {
    const day = r.recorded.slice(0, 10);
    return (!status || r.status === status) && (!passage || r.passageStart !== null)
      && (!from || day >= from) && (!to || (day !== "" && day <= to)) && wanted.every((word) => r.text.includes(word));
  });
  list();
}

/** Compares two values; unknown ones come last in both directions. */
function compare(a, b, sign) {
  const unknown = (value) => value === null || value === "";
  if (unknown(a) || unknown(b)) return unknown(a) - unknown(b);
  return sign * (typeof a === "string" ? collator.compare(a, b) : a - b);
}

function sortBy(header) {
  const by = header.dataset.by, falls = ["recorded", "length", "talk", "negative", "passageSeconds"].includes(by);
  const before = header.ariaSort ?? (falls ? "ascending" : "descending"); // the newest and greatest come first
  const sign = before === "ascending" ? -1 : 1;
  order = [...recordings].sort((a, b) => compare(a[by], b[by], sign));
  all("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
  header.ariaSort = sign > 0 ? "ascending" : "descending";
  filter();
}

// --- Start -------------------------------------------------------------------------------------------------------

for (const header of all("th")) {
  const button = element("button", { type: "button" }, header.textContent);
  button.addEventListener("click", () => sortBy(header));
  header.replaceChildren(button);
}
for (const status of new Set(recordings.map((r) => r.status))) {
  $('[name="status"]').append(element("option", { value: status }, words(status)));
}
$(".filters").addEventListener("input", filter);
$(".more").addEventListener("click", () => {
  const next = shown;
  showMore();
  $(`tbody tr:nth-child(n + ${next + 1}) a`)?.focus({ preventScroll: true }); // keyboard users continue there
});
addEventListener("beforeprint", () => { while (shown < listed.length) showMore(); });
$(".scripted").hidden = false;
sortBy($('th[data-by="recorded"]'));
