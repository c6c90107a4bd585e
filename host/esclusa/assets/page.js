// Shows the status of the router, again every second. Text of plugins and events is only ever set as text.
"use strict";

const EVERY = 1000, LETTERS = 50, PREVIEW = 600, WINDOW = 15000, PATIENCE = 10000;
const byId = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const rows = new Map();      // route -> its cells
const samples = new Map();   // route -> [{ at, settled }]
let reloadKey = null, staleKey = null;
let answered = Date.now();   // when the router last answered
let shown = {};              // the dead letters that are shown: { key, page, count }
let starts = [0];            // the dead letter after which each page begins, up to this one

function el(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}
// Characters that are not shown, or that reorder others, are written as escapes.
const HIDDEN = /[\p{Cf}\p{Zl}\p{Zp}\u0000-\u0008\u000b-\u001f\u007f-\u009f]/gu;
const escaped = (c) => "\\u" + c.codePointAt(0).toString(16).padStart(4, "0");
function visible(key, value) { return typeof value === "string" ? value.replace(HIDDEN, escaped) : value; }
// Only changed values are written, so that focus and selection stay.
function set(node, text) { if (node.textContent !== text) node.textContent = text; }
function setClass(node, className) { if (node.className !== className) node.className = className; }
function show(node, yes) { node.hidden = !yes; }
function clock(millis) {
  const at = new Date(millis), time = at.toLocaleTimeString("en-GB");
  return Date.now() - millis < 86400000 ? time : at.toISOString().slice(0, 10) + " " + time;
}
function age(millis) {
  const seconds = Math.max(0, Math.round(millis / 1000));
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}
function timeOf(millis) {
  const node = el("time", "", clock(millis));
  node.dateTime = new Date(millis).toISOString();
  return node;
}
function button(text, label, act) {
  const node = el("button", "", text);
  node.type = "button";
  node.setAttribute("aria-label", label);
  node.addEventListener("click", async () => {
    node.disabled = true;
    try { await act(); } finally { node.disabled = false; }
  });
  return node;
}
function note(text, bad) {
  const node = byId("note");
  set(node, text);
  setClass(node, bad ? "bad" : "");
}
async function ask(path, body) {
  const options = body === undefined ? { signal: AbortSignal.timeout(PATIENCE) } : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, options);
  const answer = JSON.parse(await response.text(), visible);
  if (!response.ok) throw new Error(answer.error || response.statusText);
  return answer;
}
async function act(path, body, tell) {
  try {
    note(tell(await ask(path, body)), false);
    shown = {};
  } catch (error) {
    note(String(error.message || error), true);
  }
  await tick();
}

function settled(route) {
  const c = route.reading.counts;
  return c.done + c.skipped + c.filtered + c.dead;
}
function rate(route, now) {
  const list = samples.get(route.name) || [];
  list.push({ at: now, settled: settled(route) });
  // As long a window as the numbers stay still for the eye, whatever the pace of the answers.
  while (list.length > 2 && list[1].at <= now - WINDOW) list.shift();
  samples.set(route.name, list);
  const first = list[0], last = list[list.length - 1];
  const seconds = (last.at - first.at) / 1000;
  return seconds > 0 ? Math.max(0, (last.settled - first.settled) / seconds) : 0;
}
const shownRate = (value) => (value >= 10 || value === 0 ? number.format(Math.round(value)) : value.toFixed(1));

function makeRow(name) {
  const main = el("tr", "main"), more = el("tr", "more"), cells = { main, more };
  const head = el("th", "name", name);
  head.scope = "row";
  main.append(head);
  const state = el("td");
  cells.state = state.appendChild(el("span", "chip"));
  main.append(state);
  for (const [key, label, sign] of [["received", "received", ""], ["done", "done", "="], ["skipped", "skipped", "+"], ["filtered", "filtered", "+"], ["dead", "dead", "+"], ["flight", "in flight", "+"]]) {
    const cell = el("td", "n");
    cell.dataset.label = label;
    if (sign) cell.append(el("i", "", sign));
    cells[key] = cell.appendChild(el("span"));
    main.append(cell);
  }
  const sum = el("td");
  cells.sum = sum.appendChild(el("span", "chip"));
  cells.rate = el("td", "n");
  cells.rate.dataset.label = "per second";
  const action = el("td", "n action");
  cells.toggle = action.appendChild(button("Pause", "", () => {
    const verb = cells.toggle.textContent === "Pause" ? "pause" : "resume";
    return act(`api/v1/routes/${encodeURIComponent(name)}/${verb}`, null, (a) => a.message);
  }));
  main.append(sum, cells.rate, action);
  const wide = el("td");
  wide.colSpan = 11;
  cells.facts = wide.appendChild(el("div", "facts"));
  for (const key of ["path", "plugin", "outputs", "lag", "waiting"]) cells[key] = cells.facts.appendChild(el("span"));
  cells.undelivered = wide.appendChild(el("ul", "undelivered"));
  cells.partitions = wide.appendChild(el("details", "partitions"));
  cells.partitions.append(el("summary"), el("ul"));
  cells.error = wide.appendChild(el("div", "error"));
  more.append(wide);
  byId("route-rows").append(main, more);
  rows.set(name, cells);
  return cells;
}

function fillPartitions(cells, route) {
  const partitions = (route.shards && route.shards.partitions) || [];
  const shards = route.shards && route.shards.behind_millis !== null ? `${age(route.shards.behind_millis)} behind` : "";
  set(cells.lag, partitions.length ? `${number.format(route.shards.behind_records)} records, ${shards || "? s behind"}` : shards);
  show(cells.partitions, partitions.length > 0);
  const [head, list] = cells.partitions.children;
  set(head, `${partitions.length} partitions here`);
  while (list.children.length > partitions.length) list.lastChild.remove();
  partitions.forEach((p, at) => {
    const line = list.children[at] || list.appendChild(el("li"));
    const time = p.behind_millis === null ? "" : `, ${age(p.behind_millis)}`;
    set(line, `${p.lane}: position ${number.format(p.position)}, end ${number.format(p.end)}, ${number.format(p.behind_records)} behind${time}`);
  });
}

// What waits in the source: "; 1,204 wait, the oldest for 3 min". Empty if the source does not say, or a running route has nothing to do.
function waits(route) {
  const b = route.backlog;
  if (!b || !(b.waiting || route.reason)) return "";
  return `; ${number.format(b.waiting)} wait${b.oldest_millis ? `, the oldest for ${age(b.oldest_millis)}` : ""}`;
}

function fillRow(route, now) {
  const cells = rows.get(route.name) || makeRow(route.name);
  const reading = route.reading, counts = reading.counts, plugin = route.plugin;
  const fails = route.state === "running" && !route.health.healthy;
  set(cells.state, fails ? "failing" : route.state);
  setClass(cells.state, "chip " + (fails ? "wrong" : route.state));
  set(cells.received, number.format(reading.received));
  for (const key of ["done", "skipped", "filtered", "dead"]) set(cells[key], number.format(counts[key]));
  set(cells.flight, number.format(reading.in_flight));
  const off = reading.received - settled(route) - reading.in_flight;
  set(cells.sum, off === 0 ? "✓ adds up" : `✗ off by ${number.format(off)}`);
  setClass(cells.sum, "chip " + (off === 0 ? "fine" : "wrong"));
  const perSecond = rate(route, now);
  set(cells.rate, shownRate(perSecond));
  const goesOn = route.state === "running";
  set(cells.toggle, goesOn ? "Pause" : "Resume");
  cells.toggle.setAttribute("aria-label", `${goesOn ? "Pause" : "Resume"} route ${route.name}`);
  show(cells.toggle, ["running", "paused", "halted"].includes(route.state));
  set(cells.path, `${route.source} (${route.kind}) → ${plugin.path.split("/").pop()}`);
  set(cells.plugin, `${plugin.name} ${plugin.version} · ${plugin.digest.slice(0, 12)} · since ${clock(plugin.since)}`);
  set(cells.outputs, route.outputs.length ? "writes " + route.outputs.map((o) => `${o.name} (${o.kind}, ${o.delivery})`).join(", ") : "writes nothing");
  fillUndelivered(cells.undelivered, route.outputs, now);
  fillPartitions(cells, route);
  const wait = reading.waiting;
  const open = route.breaker;
  const next = open ? `breaker open since ${clock(open.since)}, ${open.failed_probes} probes failed, next ${clock(open.next_probe)}` : wait ? `waiting: attempt ${wait.attempt}, next ${clock(wait.next)}` : "";
  set(cells.waiting, next || (route.reason ? "" : waits(route).slice(2)));
  const error = reading.last_error;
  const text = route.reason ? `halted: ${route.reason}${waits(route)}` : error ? `last error ${clock(error.at)} · ${error.code}: ${error.message}` : "";
  set(cells.error, text);
  return perSecond;
}

// Outputs with messages that are not delivered yet, or that fail.
function fillUndelivered(home, outputs, now) {
  const told = outputs.filter((o) => o.messages && (o.messages.pending > 0 || o.messages.failed_in_a_row > 0));
  while (home.children.length > told.length) home.lastChild.remove();
  while (home.children.length < told.length) {
    const item = el("li");
    item.append(el("span", "chip"), el("span"));
    home.append(item);
  }
  told.forEach((output, at) => {
    const m = output.messages, [chip, text] = home.children[at].children, failing = m.failed_in_a_row > 0;
    set(chip, `${output.name} ${failing ? "failing" : "sending"}`);
    setClass(chip, "chip " + (failing ? "wrong" : "paused"));
    const parts = [`${number.format(m.pending)} not delivered`];
    if (m.oldest) parts.push(`the oldest for ${age(now - m.oldest)}`);
    if (failing) parts.push(`${number.format(m.failed_in_a_row)} tries failed`);
    if (m.next_try) parts.push(`next ${clock(m.next_try)}`);
    if (m.given_up) parts.push(`${number.format(m.given_up)} given up`);
    if (failing && m.last_error) parts.push(`${clock(m.last_error.at)} ${m.last_error.message}`);
    set(text, parts.join(" · "));
  });
}

function fillRoutes(status) {
  const names = new Set(status.routes.map((route) => route.name));
  for (const [name, cells] of rows) {
    if (names.has(name)) continue;
    cells.main.remove();
    cells.more.remove();
    rows.delete(name);
    samples.delete(name);
  }
  const total = { received: 0, settled: 0, flight: 0, rate: 0, undelivered: 0, failing: false };
  for (const route of status.routes) {
    total.rate += fillRow(route, status.now);
    total.received += route.reading.received;
    total.settled += settled(route);
    total.flight += route.reading.in_flight;
    for (const { messages } of route.outputs) {
      total.undelivered += messages ? messages.pending : 0;
      total.failing ||= Boolean(messages && messages.failed_in_a_row);
    }
  }
  const dead = letterCount(status, "");
  show(byId("no-routes"), names.size === 0);
  fillTotals([["events received", total.received], ["settled", total.settled], ["in flight", total.flight], ["events/s", shownRate(total.rate)], ["messages not delivered", total.undelivered, total.failing], ["dead letters", dead, dead > 0]]);
}

function fillTotals(list) {
  const home = byId("totals");
  while (home.children.length < list.length) {
    const item = el("li");
    item.append(el("b"), el("span"));
    home.append(item);
  }
  list.forEach(([name, value, alarm], at) => {
    const item = home.children[at];
    set(item.firstChild, typeof value === "number" ? number.format(value) : value);
    set(item.lastChild, name);
    setClass(item, alarm ? "alarm" : "");
  });
}

// Routes that are not in routes.toml any more are listed as long as they have dead letters.
function fillChoice(status) {
  const choice = byId("letter-route"), texts = new Map([["", "all routes"]]);
  for (const route of status.routes) texts.set(route.name, route.name);
  for (const name of Object.keys(status.left_dead_letters)) texts.set(name, `${name} (not in routes.toml)`);
  for (const option of [...choice.options]) {
    if (texts.get(option.value) === option.textContent) texts.delete(option.value);
    else option.remove();
  }
  for (const [name, text] of texts) {
    const option = el("option", "", text);
    option.value = name;
    choice.append(option);
  }
}

function fillListeners(listeners) {
  show(byId("listener-part"), listeners.length > 0);
  byId("listener-rows").replaceChildren(...listeners.map((listener) => {
    const row = el("tr"), name = el("th", "name", listener.name);
    name.scope = "row";
    const connections = `${number.format(listener.connections)} of ${number.format(listener.max_connections)}`;
    const cell = (label, text) => {
      const td = el("td", "n", text);
      td.dataset.label = label;
      return td;
    };
    const answers = ["2xx", "3xx", "4xx", "5xx"].map((status) => cell(status, number.format(listener.answers[status] || 0)));
    row.className = "main";
    row.append(name, el("td", "", `${listener.tls ? "https" : "http"}://${listener.address}`), cell("Connections", connections), ...answers);
    return row;
  }));
}

function fillReloads(reloads) {
  const key = JSON.stringify(reloads);
  if (key === reloadKey) return;
  reloadKey = key;
  show(byId("no-reloads"), reloads.length === 0);
  byId("reload-rows").replaceChildren(...reloads.map((reload) => {
    const item = el("li");
    item.append(timeOf(reload.at), el("span", "chip " + (reload.ok ? "fine" : "wrong"), reload.ok ? "in force" : "refused"), el("code", "", reload.what), el("p", "", reload.message));
    return item;
  }));
}

const STALE = { refused: "refused", loading: "being loaded", missing: "missing" };
function fillStale(list) {
  const key = JSON.stringify(list);
  if (key === staleKey) return;
  staleKey = key;
  show(byId("stale"), list.length > 0);
  byId("stale-rows").replaceChildren(...list.map((file) => {
    const item = el("li"), problems = file.diagnostics || [];
    const line = (d) => `${d.file}:${d.line}:${d.column}: ${d.message} [${d.code}]${d.help ? `\nhelp: ${d.help}` : ""}`;
    item.append(el("span", "chip wrong", STALE[file.state] || file.state), " ", el("code", "", file.file), " since ", timeOf(file.since));
    item.append(el("p", "", problems.length ? problems.map(line).join("\n") : file.message));
    return item;
  }));
}
// Nobody answers: what the page shows is what was, and says so.
function fillGone() {
  set(byId("link"), `no answer since ${clock(answered)}`);
  setClass(byId("link"), "chip lost");
  document.body.classList.add("gone");
  for (const { state, sum } of rows.values()) {
    if (!state.textContent.startsWith("was ")) set(state, `was ${state.textContent}`);
    setClass(state, "chip");
    setClass(sum, "chip");
  }
}

function payload(data) {
  if (data.text !== undefined) return data.text;
  return data.bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
}
function letterRow(letter) {
  const item = el("li"), details = el("details"), id = letter.id;
  const what = letter.output ? `message to ${letter.output}` : `event ${letter.event}`;
  details.append(el("summary", "", `${letter.code}: ${letter.reason}`));
  const text = payload(letter.data), more = letter.size > PREVIEW ? `\n… ${number.format(letter.size)} bytes` : "";
  const again = letter.last_redrive ? `\nredriven ${clock(letter.last_redrive.at)}, in vain: ${letter.last_redrive.reason}` : "";
  details.append(el("pre", "", `${what}, key ${JSON.stringify(letter.key)}, tried ${letter.attempts} time(s)${again}\n\n${text}${more}`));
  const story = [...(letter.backtrace ? [letter.backtrace] : []), ...letter.logs].join("\n");
  if (story) details.append(el("pre", "", story));
  const drop = () => confirm(`Drop dead letter ${id} for good?`) ? act("api/v1/dlq/drop", { ids: [id] }, (a) => `${a.dropped} dropped`) : undefined;
  const buttons = el("span", "buttons");
  buttons.append(button("Redrive", `Redrive dead letter ${id}`, () => redrive([id])), button("Drop", `Drop dead letter ${id}`, drop));
  item.append(timeOf(letter.died), el("code", "", `#${id}`), el("span", "chip", letter.route), details, buttons);
  return item;
}
function redrive(ids) {
  return act("api/v1/dlq/redrive", { ids }, (answer) => {
    const failed = answer.failed.map((f) => `${f.id} stays: ${f.error}`);
    return [`${answer.redriven.length} redriven, ${failed.length} failed`, ...failed].join("\n");
  });
}
// Dead letters of a route or of all routes, those of removed routes included.
function letterCount(status, route) {
  const counts = [...status.routes.map((r) => [r.name, r.dead_letters]), ...Object.entries(status.left_dead_letters)];
  return counts.reduce((sum, [name, count]) => (route && name !== route ? sum : sum + count), 0);
}
async function fillLetters(status) {
  const route = byId("letter-route").value, count = letterCount(status, route);
  if (route !== shown.route) starts = [0];
  const page = `${starts.at(-1)} ${route}`;
  // The count alone is not enough: a new dead letter while another one is dropped leaves it unchanged.
  const key = JSON.stringify([page, count, status.routes.map((r) => r.reading.counts.dead)]);
  // A new dead letter does not replace the page while an open one is being read.
  const reading = byId("letter-rows").querySelector("details[open]") && page === shown.page && count >= shown.count;
  if (key === shown.key || reading) return;
  const query = (route ? `&route=${encodeURIComponent(route)}` : "") + (starts.length > 1 ? `&after=${starts.at(-1)}` : "");
  const letters = count ? await ask(`api/v1/dlq?limit=${LETTERS}&preview=${PREVIEW}${query}`) : [];
  if (!letters.length && starts.length > 1) {
    starts = [0];
    return fillLetters(status);
  }
  const ids = letters.map((letter) => letter.id), whole = letters.length === LETTERS;
  const last = whole ? Math.min(count, starts.length * LETTERS) : count, first = last - letters.length + 1;
  shown = { key, page, count, route, ids };
  show(byId("no-letters"), !letters.length);
  show(byId("redrive-shown"), letters.length > 1);
  show(byId("older"), starts.length > 1);
  show(byId("newer"), whole && last < count);
  set(byId("letter-span"), letters.length ? `${number.format(first)}–${number.format(last)} of ${number.format(count)}, oldest first` : "");
  byId("letter-rows").replaceChildren(...letters.map(letterRow));
}

let asking = false;
async function tick() {
  if (asking) return;
  asking = true;
  try {
    const status = await ask("api/v1/status").catch(fillGone);
    if (!status) return;
    answered = Date.now();
    document.body.classList.remove("gone");
    set(byId("who"), `version ${status.version}, process ${status.pid}`);
    set(byId("link"), "live");
    setClass(byId("link"), "chip live");
    fillRoutes(status);
    fillChoice(status);
    fillStale(status.stale);
    fillListeners(status.listeners);
    fillReloads(status.reloads);
    await fillLetters(status);
  } catch (error) {
    // A router that has gone since is told by the next look.
    if (!(error instanceof TypeError)) note(String(error.message || error), true);
  } finally {
    asking = false;
  }
}

byId("letter-route").addEventListener("change", tick);
byId("redrive-shown").addEventListener("click", () => redrive(shown.ids || []));
byId("older").addEventListener("click", () => { starts.pop(); tick(); });
byId("newer").addEventListener("click", () => { starts.push(shown.ids.at(-1)); tick(); });
byId("reload").addEventListener("click", async (event) => {
  event.target.disabled = true;
  await act("api/v1/reload", null, (answer) => answer.message);
  event.target.disabled = false;
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });
setInterval(() => { if (!document.hidden) tick(); }, EVERY);
tick();
