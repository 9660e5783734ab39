// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//
// Asks /api/status every two seconds and draws it. Names come from the cluster and from clients, so everything goes
// into the page as text, never as markup.
"use strict";

const REFRESH = 2000, TIMEOUT = 5000, RECENT = 5; // ms, ms, steps of a rate
const SVG = "http://www.w3.org/2000/svg";
const store = "wasinn-balancer-token";
const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const sum = (list) => list.reduce((all, one) => all + one, 0);
const clock = (date) => date.toTimeString().slice(0, 8);
const plural = (count, word) => `${number.format(count)} ${word}${count === 1 ? "" : "s"}`;

/** An element; attributes first, then children: elements, texts, or null for none. */
function make(tag, attributes, ...children) {
  const svg = ["svg", "path", "rect"].includes(tag);
  const element = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) if (value != null) element.setAttribute(name, value);
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

/** A line over an area; `values` are oldest first. */
function sparkline(values, label, kind = "") {
  const top = Math.max(1, ...values), width = values.length - 1, high = 30;
  const points = values.map((value, at) => `${at},${(high - 1 - (value / top) * (high - 3)).toFixed(2)}`).join("L");
  return make("svg", { class: `spark ${kind}`, viewBox: `0 0 ${width} ${high}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    make("path", { class: "area", d: `M0,${high}L${points}L${width},${high}Z` }),
    make("path", { class: "line", d: `M${points}` }));
}

/** A bar from 0 to 1, with a tick where the share should be. */
function meter(share, wanted, label, kind = "") {
  return make("div", { class: "meter", role: "img", "aria-label": label },
    make("svg", { viewBox: "0 0 100 9", preserveAspectRatio: "none", "aria-hidden": "true" },
      make("rect", { class: `fill ${kind}`, x: 0, y: 2, width: Math.min(1, share) * 100, height: 5, rx: 1 }),
      wanted == null ? null : make("rect", { class: "tick", x: Math.min(99.4, wanted * 100), y: 0, width: 0.6, height: 9 })));
}

function badge(text, kind) {
  return make("span", { class: `badge ${kind}` }, text);
}

function rate(values, step) {
  const perSecond = sum(values.slice(-RECENT)) / (Math.min(RECENT, values.length) * step);
  return perSecond === 0 ? "0" : perSecond < 10 ? perSecond.toFixed(1) : short.format(perSecond);
}

function duration(seconds) {
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = parts.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "0 s";
  let left = seconds;
  return parts.slice(first, first + 2).map(([unit, size]) => {
    const count = Math.floor(left / size);
    left -= count * size;
    return count ? `${count} ${unit}` : "";
  }).filter(Boolean).join(" ");
}

function tile(title, figure, unit, note, spark) {
  return make("div", { class: "tile" }, make("h2", null, title),
    make("p", { class: "figure" }, figure, unit ? make("small", null, ` ${unit}`) : null),
    make("p", { class: "note" }, note), spark);
}

function tiles(status) {
  const { history, step_s: step, totals } = status;
  const slots = sum(status.pools.flatMap((pool) => pool.endpoints.filter(usable).map((one) => one.slots)));
  const limit = sum(status.pools.map((pool) => pool.queue_limit));
  return [
    tile("Requests", rate(history.requests, step), "/ s", `${short.format(totals.requests)} since the start`,
      sparkline(history.requests, "Requests in the last two minutes")),
    tile("Tokens out", rate(history.tokens, step), "/ s", `${short.format(totals.tokens_out)} out, ${short.format(status.tokens_in)} in`,
      sparkline(history.tokens, "Tokens in the last two minutes")),
    tile("In flight", number.format(status.in_flight), slots ? `of ${number.format(slots)}` : "", "requests at endpoints",
      slots ? meter(status.in_flight / slots, null, "Share of places taken") : null),
    tile("Waiting", number.format(status.waiting), limit ? `of ${number.format(limit)}` : "", "requests in queues",
      limit ? meter(status.waiting / limit, null, "How full the queues are", status.waiting > limit / 2 ? "warn" : "") : null),
    tile("Errors", number.format(sum(history.errors)), "in 2 min", `${short.format(totals.errors)} since the start`,
      sum(history.errors) ? sparkline(history.errors, "Errors in the last two minutes", "bad") : null),
  ];
}

const usable = (endpoint) => endpoint.state === "ready" || endpoint.state === "busy";
const recent = (pool) => sum(pool.history?.requests ?? []);

/** What a pool's share is compared with: the pools of its model (a canary) or else all of its kind. */
function shareOf(pool, pools) {
  const model = pools.filter((other) => other.model === pool.model);
  const canary = model.length > 1;
  const group = canary ? model : pools.filter((other) => other.kind === pool.kind);
  const weight = (one) => (one.endpoints.some(usable) ? one.weight : 0);
  const weights = sum(group.map(weight)), requests = sum(group.map(recent));
  return {
    wanted: weights ? weight(pool) / weights : null,
    actual: requests ? recent(pool) / requests : null,
    of: canary ? "of this model's requests" : `of ${pool.kind} requests`,
  };
}

function fact(title, wide, ...children) {
  return make("div", wide ? { class: "wide" } : null, make("dt", null, title), make("dd", null, ...children));
}

const STATES = { ready: "good", busy: "busy", ejected: "bad", unready: "warn", terminating: "" };

function endpointRow(endpoint) {
  const places = Array.from({ length: Math.min(endpoint.slots, 12) }, (_, at) => make("i", at < endpoint.in_flight ? { class: "taken" } : null));
  const until = endpoint.ejected_s ? ` · ${Math.ceil(endpoint.ejected_s)} s` : "";
  return make("tr", { "data-endpoint": endpoint.address },
    make("td", null, make("span", { class: "mono" }, endpoint.address)),
    make("td", { class: "wide-only", title: endpoint.pod }, endpoint.pod || "–"),
    make("td", { class: "wide-only", title: endpoint.node }, endpoint.node || "–"),
    make("td", null, badge(endpoint.state + until, STATES[endpoint.state] ?? "")),
    make("td", null, make("span", { class: "places wide-only", "aria-hidden": "true" }, places), `${endpoint.in_flight} of ${endpoint.slots}`),
    make("td", { class: "right wide-only" }, short.format(endpoint.totals.requests)),
    make("td", { class: "right wide-only" }, short.format(endpoint.totals.errors)));
}

function endpointTable(pool) {
  if (!pool.endpoints.length) return make("p", { class: "soft small" }, "No endpoint: the Service selects no pod.");
  const title = (text, kind) => make("th", { scope: "col", class: kind ?? null }, text);
  return make("div", { class: "scroll" }, make("table", null,
    make("thead", null, make("tr", null, title("Endpoint"), title("Pod", "wide-only"), title("Node", "wide-only"), title("State"),
      title("In flight"), title("Requests", "right wide-only"), title("Errors", "right wide-only"))),
    make("tbody", null, pool.endpoints.map(endpointRow))));
}

function poolView(pool, status) {
  const share = shareOf(pool, status.pools);
  const bits = [share.actual == null ? "no requests in 2 min" : `${percent.format(share.actual)} ${share.of}`,
    share.wanted == null ? null : `${percent.format(share.wanted)} by weight`].filter(Boolean);
  const queue = pool.queue_limit ? pool.waiting / pool.queue_limit : 0;
  const up = pool.endpoints.filter(usable).length;
  const requests = pool.history?.requests ?? [0, 0], tokens = pool.history?.tokens ?? [0, 0];
  return make("section", { class: "pool", "aria-label": `Pool ${pool.name}`, "data-pool": pool.name },
    make("dl", { class: "facts" },
      fact("Pool", true, make("span", { class: "name" }, pool.name), make("div", { class: "soft small" },
        `weight ${pool.weight} · ${up} of ${plural(pool.endpoints.length, "endpoint")} up${pool.source === "registration" ? " · registered by API" : ""}`)),
      fact("Share in 2 min", true, meter(share.actual ?? 0, share.wanted, `Share: ${bits.join(", ")}`), make("div", { class: "small soft" }, bits.join(" · "))),
      fact("In flight", false, number.format(pool.in_flight)),
      fact("Waiting", false, `${number.format(pool.waiting)} of ${number.format(pool.queue_limit)}`,
        pool.waiting ? meter(queue, null, "How full the queue is", queue > 0.5 ? "warn" : "") : null),
      fact("Requests", true, `${rate(requests, status.step_s)} / s`, make("span", { class: "soft small" }, ` · ${rate(tokens, status.step_s)} tokens / s`),
        sparkline(requests, `Requests to ${pool.name} in the last two minutes`))),
    endpointTable(pool));
}

function modelsView(status) {
  if (!status.pools.length) {
    return [make("div", { class: "quiet" }, make("h2", null, "No models yet"), make("p", { class: "soft" },
      "A Service with the label llamaedge/target=true appears here by itself; POST /api/register adds one by hand."))];
  }
  const names = [...new Set(status.pools.map((pool) => pool.model))].sort((one, other) => one.localeCompare(other));
  return names.map((name) => {
    const pools = status.pools.filter((pool) => pool.model === name);
    const aliases = [...new Set(pools.flatMap((pool) => pool.aliases))];
    const up = pools.some((pool) => pool.endpoints.some(usable));
    return make("article", { class: "model", "data-model": name },
      make("div", { class: "head" }, make("h2", null, name), make("span", { class: "chip" }, pools[0].kind),
        aliases.map((alias) => make("span", { class: "chip" }, `alias ${alias}`)), up ? null : badge("no endpoint up", "bad")),
      pools.map((pool) => poolView(pool, status)));
  });
}

function troublesView(troubles) {
  if (!troubles.length) return [];
  const row = (one) => make("tr", null,
    make("td", { class: "soft" }, make("time", { datetime: one.at }, clock(new Date(one.at)))),
    make("td", null, badge(String(one.status), one.status >= 500 ? "bad" : "warn")),
    make("td", null, one.error || "–"),
    make("td", { class: "wide-only" }, one.model || "–"),
    make("td", { class: "wide-only" }, make("span", { class: "mono" }, one.endpoint || one.route)),
    make("td", { class: "right" }, number.format(one.count)));
  const title = (text, kind) => make("th", { scope: "col", class: kind ?? null }, text);
  return [make("h2", null, "Recent errors"), make("div", { class: "quiet" }, make("div", { class: "scroll" }, make("table", null,
    make("thead", null, make("tr", null, title("Last"), title("Status"), title("Reason"), title("Model", "wide-only"), title("Where", "wide-only"), title("Count", "right"))),
    make("tbody", null, troubles.map(row)))))];
}

function draw(status) {
  const [word, kind] = status.draining ? ["Draining", "warn"] : status.ready ? ["Ready", "good"] : ["Starting", "warn"];
  if ($("state").textContent !== word) $("state").textContent = word; // a screen reader says each change once
  $("state").className = `badge ${kind}`;
  $("about").textContent = [status.instance, `version ${status.version}`, status.target, `up ${duration(status.uptime_s)}`].filter(Boolean).join(" · ");
  document.title = `${word} · Balancer`;
  if (!getSelection().isCollapsed) return; // someone is copying a name
  $("tiles").replaceChildren(...tiles(status));
  $("models").replaceChildren(...modelsView(status));
  $("troubles").replaceChildren(...troublesView(status.troubles));
}

/** Shows one of: the form, the figures, the figures with "away" above. */
function show({ form = false, refused = "", away = "" }) {
  if (form && $("sign-in").hidden) $("status").replaceChildren(...[...$("status").children].map((part) => (part.replaceChildren(), part)));
  $("sign-in").hidden = !form;
  $("status").hidden = form;
  $("state").hidden = form || Boolean(away);
  $("forget").hidden = form;
  $("refused").textContent = refused;
  $("away").hidden = !away;
  if ($("away").textContent !== away) $("away").textContent = away;
  document.body.classList.toggle("stale", Boolean(away));
}

let timer = 0, lost = null;

async function refresh() {
  clearTimeout(timer);
  const token = sessionStorage.getItem(store);
  if (!token) return show({ form: true });
  try {
    const reply = await fetch("api/status", { headers: { Authorization: `Bearer ${token}` }, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
    const body = await reply.json();
    if (reply.status === 401 || reply.status === 503) {
      sessionStorage.removeItem(store);
      show({ form: true, refused: body.error.message });
      return $("token").focus();
    }
    if (!reply.ok) throw new Error(body.error?.message ?? reply.status);
    lost = null;
    show({});
    draw(body);
  } catch {
    lost ??= new Date();
    show({ away: `The balancer has not answered since ${clock(lost)}. Trying again every ${REFRESH / 1000} seconds; the figures below are the last ones.` });
    document.title = "Away · Balancer";
  }
  timer = setTimeout(refresh, REFRESH);
}

$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = $("token").value.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) return show({ form: true, refused: "A token has letters, digits and signs of ASCII only, no spaces." });
  sessionStorage.setItem(store, token);
  $("token").value = "";
  refresh();
});
$("forget").addEventListener("click", () => {
  sessionStorage.removeItem(store);
  refresh();
  $("token").focus();
});
// A tab that nobody sees asks for nothing.
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
refresh();
