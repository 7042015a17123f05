"use strict";
// Names come from clients: they are only ever set as text.
const byId = (id) => document.getElementById(id);
const text = (id, value) => { byId(id).textContent = value; };
const every = 2000, kept = 300;
let points = [];

function scaled(value, units, base) {
  let i = 0;
  while (value >= base && i < units.length - 1) { value /= base; i++; }
  return [value >= 100 || i === 0 ? Math.round(value).toLocaleString("en") : value.toFixed(1), units[i]];
}
const bits = (v) => scaled(v, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"], 1000);
const bytes = (v) => scaled(v, ["B", "kB", "MB", "GB", "TB", "PB"], 1000).join(" ");
const count = (v) => Math.round(v).toLocaleString("en");
function span(s) {
  if (s < 60) return Math.floor(s) + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}

// path draws values, the newest at the right edge.
function path(values, top, closed) {
  if (values.length === 0) return "";
  const w = 600, h = 136, step = w / (kept - 1), x0 = w - (values.length - 1) * step;
  const at = values.map((v, i) => (x0 + i * step).toFixed(1) + "," + (140 - v / top * h).toFixed(1));
  return closed ? `M${x0.toFixed(1)},140L${at.join("L")}L${w},140Z` : "M" + at.join("L");
}
function nice(v) {
  if (v <= 0) return 1;
  const p = 10 ** Math.floor(Math.log10(v));
  return [1, 2, 5, 10].find((m) => m * p >= v) * p;
}
function draw(svg, name, values, top) {
  const area = svg.querySelector(".area." + name);
  if (area) area.setAttribute("d", path(values, top, true));
  svg.querySelector(".line." + name).setAttribute("d", path(values, top, false));
}
function charts() {
  const down = points.map((p) => p.downBits), up = points.map((p) => p.upBits), live = points.map((p) => p.allocations);
  const traffic = nice(Math.max(1000, ...down, ...up)), most = nice(Math.max(4, ...live));
  draw(byId("traffic"), "down", down, traffic);
  draw(byId("traffic"), "up", up, traffic);
  draw(byId("live"), "live", live, most);
  text("traffic-top", bits(traffic).join(" "));
  text("live-top", count(most));
}

function row(a) {
  const tr = document.createElement("tr");
  const cell = (value, cls) => {
    const td = document.createElement("td");
    td.textContent = value;
    if (cls) td.className = cls;
    tr.append(td);
    return td;
  };
  cell(a.user, "user").title = a.user;
  const by = cell(""), tag = document.createElement("span");
  tag.className = "tag";
  tag.textContent = a.transport;
  by.append(tag);
  cell(a.client || "", "address");
  cell(a.relayed || "", "address");
  cell(count(a.peers), "n");
  cell(bits(a.downBits).join(" "), "n");
  cell(bits(a.upBits).join(" "), "n");
  cell(bytes(a.bytes), "n");
  cell(span(a.seconds), "n");
  return tr;
}

function show(s) {
  const age = (Date.parse(s.now) - Date.parse(s.started)) / 1000;
  document.title = `${s.allocations} · ${s.realm}`;
  text("realm", s.realm);
  text("about", `Carillon relay ${s.version}, up for ${span(age)}` + (s.fastPath ? "" : ", without its fast path"));
  text("state", s.state);
  byId("state").className = "state " + s.state;
  text("allocations", count(s.allocations));
  byId("fill").style.width = Math.min(100, 100 * s.allocations / Math.max(1, s.limit)) + "%";
  const by = Object.entries(s.transports).filter(([, n]) => n > 0).map(([t, n]) => `${count(n)} ${t.toUpperCase()}`);
  text("transports", (by.length ? by.join(", ") : "none") + (s.limit < 1e12 ? ` of at most ${count(s.limit)}` : ""));
  for (const way of ["down", "up"]) {
    const [value, unit] = bits(s.rates[way + "Bits"]);
    text(way, value);
    text(way + "-unit", unit);
    text(way + "-packets", `${count(s.rates[way + "Packets"])} packets a second` + (way === "up" && s.rates.dropped >= 0.5 ? `, ${count(s.rates.dropped)} dropped` : ""));
  }
  text("refused", count(s.refused));
  text("logins", `${count(s.failedLogins)} failed logins`);
  byId("refusals-card").hidden = s.refusals.length === 0;
  byId("refusals").replaceChildren(...s.refusals.slice(0, 12).map((r) => {
    const li = document.createElement("li"), b = document.createElement("b"), why = document.createElement("span");
    b.textContent = count(r.count);
    why.textContent = r.reason;
    li.append(b, why);
    return li;
  }));
  document.body.classList.toggle("hidden-addresses", s.busiest.length > 0 && !s.busiest[0].client);
  byId("busiest").replaceChildren(...s.busiest.map(row));
  byId("none").hidden = s.busiest.length > 0;
  byId("busiest").closest(".scroll").hidden = s.busiest.length === 0;
  text("totals", `${bytes(s.totals.DownBytes)} to clients and ${bytes(s.totals.UpBytes)} to peers since ${new Date(s.started).toLocaleString()}`);
  charts();
}

async function get(what) {
  const r = await fetch(what, { cache: "no-store", signal: AbortSignal.timeout(8000) });
  if (!r.ok) throw new Error(r.statusText);
  return r.json();
}
async function update() {
  try {
    const [s, h] = await Promise.all([get("summary"), points.length === 0 || document.hidden ? get("history") : null]);
    if (h) points = h.points;
    else points.push({ allocations: s.allocations, upBits: s.rates.upBits, downBits: s.rates.downBits });
    points = points.slice(-kept);
    show(s);
    document.documentElement.dataset.updates = Number(document.documentElement.dataset.updates || 0) + 1;
  } catch {
    text("state", "no answer");
    byId("state").className = "state lost";
    points = []; // there may be a gap; the relay knows
  }
  setTimeout(update, every);
}
update();
