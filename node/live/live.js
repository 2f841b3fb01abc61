"use strict";
// Draws what the stream of the page's server says. It asks no member itself: all requests go to where the page came from.
(() => {
  const $ = (id) => document.getElementById(id);
  const config = document.body.dataset;
  document.documentElement.classList.add("js");
  const svg = (name, attributes = {}, parent = null) => {
    const e = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
    return parent ? parent.appendChild(e) : e;
  };
  const html = (name, text, parent = null) => {
    const e = document.createElement(name);
    if (text !== undefined) e.textContent = text;
    return parent ? parent.appendChild(e) : e;
  };
  // Only what differs is written: a browser lays out again whatever is touched.
  const set = (e, name, value) => { if (e.getAttribute(name) !== String(value)) e.setAttribute(name, value); };
  const say = (e, text) => { if (e.textContent !== text) e.textContent = text; };
  const count = (n) => n === undefined ? "–" : n.toLocaleString("en");

  const cells = 40, electionMs = 1000;
  let latest = null, frozen = false, chosen = "", began = Date.now(), leaderless = 0, lastFrame = 0;
  const known = new Map(); // address -> what was drawn of a member, also of one that was removed since
  const links = new Map();
  const rows = new Map();
  const dropped = new Map(); // link -> when it was last seen to lose something
  const unheard = new Map(); // link -> since when the leader has not heard on it
  let rate = null;

  // What a frame means.
  const read = (frame) => {
    const members = frame.members.map((m) => {
      const v = m.view, fresh = m.silent_ms === 0 && v;
      return { address: m.address, name: m.name, at: m.at, fresh, silent: m.silent_ms, v, error: m.error };
    });
    const hosts = new Set(members.map((m) => m.address.replace(/:\d+$/, "")));
    for (const m of members) m.label = m.name || (hosts.size === members.length ? m.address.replace(/:\d+$/, "") : m.address.replace(/^.*:/, ":"));
    // The leader is who leads in the highest term: an older one may not know yet that it is none.
    let leader = null;
    for (const m of members) if (m.fresh && m.v.role === "leader" && (!leader || m.v.term > leader.v.term)) leader = m;
    const top = Math.max(0, ...members.filter((m) => m.fresh).map((m) => m.v.term));
    if (leader && leader.v.term < top && !members.some((m) => m.fresh && m.v.leader === leader.address && m !== leader)) leader = null;
    return { members, leader, time: Date.parse(frame.time) };
  };
  const of = (list, address) => (list || []).find((p) => p.address === address);

  // A link is up, lossy or cut, as far as either end can tell; empty where nobody can.
  const link = (a, b, s) => {
    const out = a.fresh && of(a.v.links, b.address), into = b.fresh && of(b.v.links, a.address);
    let state = "";
    if (out) state = out.connected ? "up" : "cut";
    else if (into) state = into.receiving ? "up" : "cut";
    if (!state || !a.fresh || !b.fresh) return a.fresh || b.fresh ? (state === "cut" ? "cut" : "") : "";
    if (s.leader === b) { // it knows whom it hears
      const p = of(b.v.peers, a.address), way = a.address + ">" + b.address;
      if (!p || p.active !== false) unheard.delete(way);
      else if (!unheard.has(way)) unheard.set(way, s.time); // a new leader has heard nobody yet
      else if (s.time - unheard.get(way) > electionMs) return "cut";
    }
    if (s.leader === a) {
      if (b.v.leader === a.address && b.v.leader_contact_ms > electionMs) return "cut";
      const p = of(a.v.peers, b.address);
      if (state === "up" && p && p.state === "probe") return "lossy";
    }
    const key = a.address + ">" + b.address, before = dropped.get(key);
    if (out && before && (out.dropped > before.dropped || out.connects > before.connects)) before.at = s.time;
    dropped.set(key, { dropped: out ? out.dropped : 0, connects: out ? out.connects : 0, at: before ? before.at : 0 });
    if (state === "up" && before && s.time - before.at < 3000) return "lossy";
    return state;
  };

  const place = (i, n) => {
    const angle = -Math.PI / 2 + 2 * Math.PI * i / n;
    return { x: 320 + (n > 1 ? 205 : 0) * Math.cos(angle), y: 274 + (n > 1 ? 190 : 0) * Math.sin(angle) };
  };
  const radius = 50;

  const drawMember = (m, i, n, s) => {
    let g = known.get(m.address);
    if (!g) {
      g = { root: svg("g", {}, $("members")) };
      g.title = svg("title", {}, g.root);
      g.halo = svg("circle", { r: radius + 7, class: "halo" }, g.root);
      g.body = svg("circle", { r: radius, class: "body" }, g.root);
      g.over = svg("circle", { r: radius - 1, class: "over" }, g.root);
      g.crown = svg("path", { d: "M-11 -26l3 8h16l3 -8l-6 4l-5 -7l-5 7z", class: "crown" }, g.root);
      g.name = svg("text", { y: 1, class: "name in" }, g.root);
      g.role = svg("text", { y: 18, class: "in" }, g.root);
      g.term = svg("text", { y: 34, class: "in" }, g.root);
      g.note = svg("text", { y: radius + 18, class: "soft" }, g.root);
      g.root.addEventListener("click", () => { chosen = m.address; if ($("victim").querySelector(`[value="${CSS.escape(m.name)}"]`)) $("victim").value = m.name; draw(); });
      known.set(m.address, g);
    }
    const p = place(i, n);
    g.at = p;
    set(g.root, "transform", `translate(${p.x.toFixed(1)} ${p.y.toFixed(1)})`);
    const v = m.v, learner = v && v.learner;
    const out = m.removed || (v && v.removed) || (s.leader && !of(s.leader.v.peers, m.address));
    const role = !v ? "silent" : v.role === "leader" && s.leader !== m ? "old leader" : v.role;
    const classes = [`t${(v ? v.term : 0) % 6}`, !m.fresh ? "silent" : "", m.fresh && v.role === "leader" ? "leader" : "", m.fresh && v.role.includes("candidate") ? "candidate" : "", learner ? "learner" : "", out ? "removed" : "", chosen === m.address ? "chosen" : ""];
    set(g.root, "class", classes.filter(Boolean).join(" "));
    set(g.crown, "visibility", s.leader === m ? "visible" : "hidden");
    say(g.name, m.label);
    say(g.role, !m.fresh ? "silent" : learner ? "learner" : role);
    say(g.term, v ? "term " + v.term : "");
    let note = "";
    if (out) note = "removed";
    else if (!m.fresh) note = m.silent < 0 ? "never heard" : "for " + (m.silent / 1000).toFixed(1) + " s";
    else if (s.leader && v.commit < s.leader.v.commit - 2) note = count(s.leader.v.commit - v.commit) + " behind";
    else if (v.disk_error) note = "disk: " + v.disk_error;
    else if (!v.ready) note = "not ready";
    say(g.note, note);
    say(g.title, `${m.address}: ${v ? `${role}, term ${v.term}, commit ${v.commit}, applied ${v.applied}` : "never answered"}${m.error ? "\n" + m.error : ""}`);
  };

  const drawLink = (a, b, s) => {
    const key = a.address + ">" + b.address, state = link(a, b, s);
    let e = links.get(key);
    if (!e) {
      e = svg("path", { "marker-end": "url(#tip)" }, $("links"));
      e.hint = svg("title", {}, e);
      links.set(key, e);
    }
    e.seen = s;
    const busy = s.leader === a || s.leader === b;
    set(e, "class", !state ? "none" : state === "up" ? (busy ? "up" : "quiet") : state);
    set(e, "visibility", state ? "visible" : "hidden");
    if (state === "up" && !busy) e.removeAttribute("marker-end"); else set(e, "marker-end", "url(#tip)");
    const p = known.get(a.address).at, q = known.get(b.address).at;
    const dx = q.x - p.x, dy = q.y - p.y, length = Math.hypot(dx, dy) || 1, ux = dx / length, uy = dy / length, bend = 13;
    const x1 = p.x + ux * (radius + 5), y1 = p.y + uy * (radius + 5), x2 = q.x - ux * (radius + 8), y2 = q.y - uy * (radius + 8);
    set(e, "d", `M${(x1 - uy * 5).toFixed(1)} ${(y1 + ux * 5).toFixed(1)}Q${((x1 + x2) / 2 - uy * bend).toFixed(1)} ${((y1 + y2) / 2 + ux * bend).toFixed(1)} ${(x2 - uy * 5).toFixed(1)} ${(y2 + ux * 5).toFixed(1)}`);
    const out = a.fresh && of(a.v.links, b.address);
    say(e.hint, `${a.label} → ${b.label}: ${state || "unknown"}${out && out.rtt_ms ? `, round trip ${out.rtt_ms.toFixed(2)} ms` : ""}${out ? `, ${count(out.dropped)} messages dropped` : ""}`);
  };

  const drawRow = (m, s, top) => {
    let r = rows.get(m.address);
    if (!r) {
      r = { tr: html("tr"), td: [] };
      for (let i = 0; i < 10; i++) r.td.push(html("td", undefined, r.tr));
      r.strip = html("div", undefined, r.td[3]);
      r.strip.className = "strip";
      r.cells = Array.from({ length: cells }, () => html("i", undefined, r.strip));
      rows.set(m.address, r);
      $("logs").tBodies[0].append(r.tr);
    }
    const v = m.v || {};
    say(r.td[0], m.label);
    say(r.td[1], !m.fresh ? "silent" : v.learner ? "learner" : v.role);
    say(r.td[2], count(v.term));
    const peer = s.leader && s.leader !== m ? of(s.leader.v.peers, m.address) : null;
    [v.last, v.commit, v.applied, v.snapshot, peer ? peer.match || 0 : undefined, peer ? peer.next || 0 : undefined].forEach((n, i) => say(r.td[4 + i], count(n)));
    const tail = v.tail || { first: 0, terms: [] };
    r.cells.forEach((cell, i) => {
      const index = top - cells + 1 + i, term = tail.terms[index - tail.first];
      let kind = "none";
      if (index > 0 && term !== undefined && index >= tail.first) kind = `t${term % 6} ` + (index <= v.applied ? "applied" : index <= v.commit ? "committed" : "appended");
      else if (index > 0 && index < tail.first && index <= v.snapshot) kind = "snapshot";
      if (cell.className !== kind) cell.className = kind;
      const title = kind === "none" ? "" : term === undefined ? `${index}: in the snapshot` : `${index}: term ${term}, ${kind.split(" ")[1]}`;
      if (cell.title !== title) cell.title = title;
    });
  };

  const figures = (pairs) => {
    const box = $("figures");
    while (box.children.length < pairs.length) { const d = html("div", undefined, box); html("dt", "", d); html("dd", "", d); }
    pairs.forEach(([label, value], i) => { say(box.children[i].children[0], label); say(box.children[i].children[1], value); });
  };

  const gone = new Map(); // members that were removed, for as long as the page is open
  const draw = () => {
    if (!latest) return;
    const s = read(latest);
    for (const m of s.members) gone.set(m.address, m);
    const removed = [...gone.values()].filter((m) => !s.members.some((o) => o.address === m.address)).map((m) => ({ ...m, fresh: false, removed: true }));
    const everybody = [...s.members, ...removed];
    everybody.forEach((m, i) => drawMember(m, i, everybody.length, s));
    for (const a of everybody) for (const b of everybody) if (a !== b) drawLink(a, b, s);
    const top = Math.max(0, ...s.members.filter((m) => m.v).map((m) => m.v.last));
    s.members.forEach((m) => drawRow(m, s, top));
    for (const [address, r] of rows) r.tr.hidden = !s.members.some((m) => m.address === address);
    say($("range"), top ? `entries ${count(Math.max(1, top - cells + 1))} to ${count(top)}` : "last entries");

    const answer = s.members.filter((m) => m.fresh).length, voters = s.leader ? s.leader.v.voters.length : 0;
    say($("state"), s.leader ? `${s.leader.label} leads in term ${s.leader.v.term}` : "Nobody leads");
    if (!rate || s.time - rate.time > 1000) {
      const commit = Math.max(0, ...s.members.filter((m) => m.fresh).map((m) => m.v.commit));
      rate = { time: s.time, commit, perSecond: rate && rate.commit <= commit ? (commit - rate.commit) * 1000 / (s.time - rate.time) : 0 };
    }
    figures([["leader", s.leader ? s.leader.label : "none"], ["term", count(Math.max(0, ...s.members.filter((m) => m.v).map((m) => m.v.term)))], ["answering", `${answer} of ${s.members.length}`],
      ["commit", count(rate.commit)], ["entries a second", count(Math.round(rate.perSecond))], ["without a leader", (leaderless / 1000).toFixed(1) + " s"]]);
    say($("pulse"), frozen ? "The picture is frozen; the cluster is not." : `${answer} of ${s.members.length} members answer${voters ? `, ${voters} vote` : ""}, since you opened this page nobody led for ${(leaderless / 1000).toFixed(1)} s`);
    choices(s);
  };

  // Lists of members to choose from, rebuilt only when members change.
  const choices = (s) => {
    const named = s.members.filter((m) => m.name);
    for (const select of [$("victim"), $("at")]) {
      const want = named.map((m) => m.name).join(" ");
      if (select.dataset.has === want) continue;
      const was = select.value;
      select.dataset.has = want;
      select.replaceChildren(...named.map((m) => { const o = html("option", m.name); o.value = m.name; return o; }));
      if (was) select.value = was;
    }
    $("asked").hidden = !named.length;
    curl();
  };

  const tell = (time, text, kind = "") => {
    const feed = $("feed"), item = html("li");
    html("time", new Date(time).toLocaleTimeString("en-GB") + "." + String(new Date(time).getMilliseconds()).padStart(3, "0"), item);
    html("span", text, item);
    item.className = kind;
    feed.prepend(item);
    while (feed.children.length > 300) feed.lastChild.remove();
  };

  // Sentences have addresses, for that is what members know; where they have names, names are shorter.
  const named = (sentence) => (latest ? latest.members : []).reduce((text, m) => m.name ? text.replaceAll(m.address, m.name) : text, sentence);

  const source = new EventSource(config.events);
  source.addEventListener("view", (e) => {
    const frame = JSON.parse(e.data), now = Date.now();
    if (lastFrame && !read(frame).leader) leaderless += Math.min(now - lastFrame, 2000);
    lastFrame = now;
    if (frozen) return;
    latest = frame;
    if (!document.hidden) draw();
  });
  source.addEventListener("raft", (e) => { const r = JSON.parse(e.data); tell(r.time, named(r.sentence)); });
  source.addEventListener("faults", (e) => {
    const list = JSON.parse(e.data);
    $("faults").replaceChildren(...list.map((f) => html("li", f)));
  });
  source.addEventListener("lab", (e) => { const r = JSON.parse(e.data); tell(r.time, r.sentence, "lab"); });
  source.addEventListener("error", () => say($("pulse"), "The server of this page does not answer; trying again."));
  document.addEventListener("visibilitychange", draw);

  const freeze = () => {
    frozen = !frozen;
    say($("freeze"), frozen ? "go on" : "freeze the picture");
    draw();
  };
  $("freeze").addEventListener("click", freeze);

  // Try it: the same request as the curl line.
  const quote = (s) => /^[\w.,:/@%+=-]+$/.test(s) ? s : "'" + s.replaceAll("'", "'\\''") + "'";
  const path = () => encodeURIComponent($("key").value);
  const query = () => $("stale").checked && $("method").value === "GET" ? "?consistency=stale" : "";
  const curl = () => {
    const method = $("method").value, at = latest && $("at").value ? (latest.members.find((m) => m.name === $("at").value) || {}).at : "";
    $("value").hidden = method !== "PUT";
    const url = (at ? "http://" + at : config.url) + "/v1/kv/" + path() + query();
    say($("curl"), [config.command, method === "GET" ? "" : "-X " + method, method === "PUT" ? "-d " + quote($("value").value) : "", quote(url)].filter(Boolean).join(" "));
  };
  for (const id of ["method", "key", "value", "stale", "at"]) $(id).addEventListener("input", curl);
  $("try").addEventListener("submit", async (e) => {
    e.preventDefault();
    const out = $("answer"), start = performance.now();
    out.hidden = false;
    if (!$("key").value) { say(out, "A key has at least one character."); return; }
    try {
      const base = config.keys.replace("{member}", encodeURIComponent($("at").value));
      const init = { method: $("method").value };
      if (init.method === "PUT") { init.body = $("value").value; init.headers = { "Content-Type": "text/plain" }; }
      const r = await fetch(base + path() + query(), init), body = await r.text();
      const facts = ["Raft-Index", "Raft-Term", "Raft-Served-By"].filter((h) => r.headers.get(h)).map((h) => `${h}: ${r.headers.get(h)}`);
      say(out, [`${r.status} ${r.statusText}, ${(performance.now() - start).toFixed(1)} ms`, ...facts, "", body.slice(0, 4000)].join("\n"));
    } catch (error) {
      say(out, "no answer: " + error.message);
    }
  });
  curl();

  // Faults, in the lab only.
  if (config.faults) {
    $("lab").hidden = false;
    const ask = async (what, node) => {
      say($("done"), `${what} ${node || ""}…`);
      try {
        const r = await fetch(config.faults, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ do: what, node: node || "" }) });
        say($("done"), (await r.text()).trim());
      } catch (error) {
        say($("done"), "no answer: " + error.message);
      }
    };
    for (const b of document.querySelectorAll("[data-do]")) b.addEventListener("click", () => ask(b.dataset.do, b.dataset.do === "heal" ? "" : b.dataset.node || $("victim").value));
    document.addEventListener("keydown", (e) => {
      if (e.target.matches("input, select, textarea, button") || e.ctrlKey || e.metaKey || e.altKey) return;
      if (e.key === "K" || e.key === "k") ask("kill", "leader");
      if (e.key === "H" || e.key === "h") ask("heal");
    });
  }
  document.addEventListener("keydown", (e) => {
    if (e.key === " " && !e.target.matches("input, select, textarea, button")) { freeze(); e.preventDefault(); }
  });
})();
