"use strict";
// What a browser adds to the page: copy, zoom, values under the pointer, and the filter of operations. The page is whole without.
(() => {
  const $ = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  document.documentElement.classList.add("js");

  for (const button of all("[data-copy]")) {
    button.addEventListener("click", async () => {
      const code = $(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch { // from a file, or without permission: select it, so that one key copies
        getSelection().selectAllChildren(code);
        button.textContent = document.execCommand("copy") ? "Copied" : "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1600);
    });
  }

  // What shows a violation is in sight, also where its drawing is wider than the screen.
  const center = (drawing) => {
    const marks = all(".marked", drawing), scroll = drawing.parentElement;
    if (!marks.length) return;
    const left = Math.min(...marks.map((m) => m.getBoundingClientRect().left)), right = Math.max(...marks.map((m) => m.getBoundingClientRect().right));
    const from = scroll.getBoundingClientRect().left;
    scroll.scrollLeft += Math.max((left + right - scroll.clientWidth) / 2, right - scroll.clientWidth + 150) - from;
  };
  for (const drawing of all(".key")) center(drawing);
  for (const details of all("details.more")) details.addEventListener("toggle", () => all(".key", details).forEach(center), { once: true });

  // Operations, unpacked once.
  const packed = $("data") ? JSON.parse($("data").textContent) : null;
  const words = packed ? packed.words : [];
  const ops = [];
  const wrote = (ref) => typeof ref === "number" ? (ref > 0 ? packed.asked[ref - 1] : "") : ref;
  const askedText = (kind, value, expect) => kind === "put" ? "put " + value : kind === "cas" ? "cas " + expect + " to " + value : kind;
  if (packed) {
    let call = 0, id = 0;
    for (let i = 0; i < packed.call.length; i++) {
      call += packed.call[i];
      id += packed.id[i];
      const kind = words[packed.kind[i]], outcome = words[packed.outcome[i]], node = words[packed.node[i]];
      const raw = packed.answer[i];
      let answer = outcome;
      if (outcome === "ok" && kind === "get") answer = raw === false ? "nothing" : wrote(raw);
      if (outcome === "ok" && kind === "cas") answer = raw ? "swapped" : "refused";
      ops.push({
        id, call: call / 1000, took: packed.took[i] < 0 ? null : packed.took[i] / 1000, kind, outcome, node, answer,
        key: words[packed.key[i]], client: packed.client[i], phase: words[packed.phase[i]], error: words[packed.error[i]],
        served: words[packed.served[i]] || node, index: packed.index[i], term: packed.term[i],
        asked: askedText(kind, packed.asked[i], wrote(packed.expect[i])),
      });
    }
  }
  const milliseconds = (ms) => ms >= 1e4 ? (ms / 1000).toFixed(1) + " s" : ms >= 1000 ? (ms / 1000).toFixed(2) + " s" : ms >= 100 ? ms.toFixed(0) + " ms" : ms >= 1 ? ms.toFixed(1) + " ms" : (ms * 1000).toFixed(0) + " µs";
  const clock = (ms) => (ms / 1000).toFixed(3) + " s";

  // The timeline: one stretch of time for all tracks.
  const chart = $("timeline");
  const view = chart && { from: +chart.dataset.from, to: +chart.dataset.to };
  const whole = chart && { ...view };
  const listeners = [];
  if (chart) {
    const left = +chart.dataset.left, width = +chart.dataset.width, right = left + width;
    const x = (ms) => left + width * (ms - view.from) / (view.to - view.from);
    const time = (px) => view.from + (px - left) / width * (view.to - view.from);
    const ticks = all(".ticks, .scale", chart);
    const moving = all("[data-a]", chart).filter((e) => !e.closest(".ticks, .scale"));
    const dense = all(".dense", chart);
    const svg = "http://www.w3.org/2000/svg";
    const element = (name, attributes) => {
      const e = document.createElementNS(svg, name);
      for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
      return e;
    };

    const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5];
    const drawTicks = () => {
      const step = steps.find((s) => s >= (view.to - view.from) / 10) || 36e5;
      const at = [];
      for (let t = Math.ceil(view.from / step) * step; t <= view.to; t += step) at.push(t);
      for (const group of ticks) {
        const grid = group.classList.contains("ticks");
        group.replaceChildren(...at.map((t) => {
          if (grid) return element("line", { class: "grid", x1: x(t), x2: x(t), y1: group.dataset.top, y2: group.dataset.bottom });
          const label = element("text", { class: "tick", x: x(t), y: group.dataset.y, "text-anchor": "middle" });
          label.textContent = +(t / 1000).toFixed(3) + " s";
          return label;
        }));
      }
    };
    const draw = () => {
      for (const e of moving) {
        const a = x(+e.dataset.a), b = x(+(e.dataset.b ?? e.dataset.a));
        if (e.tagName === "text") {
          const w = +e.dataset.w, at = Math.max(a, left) + 4;
          const fits = e.dataset.room ? at + w <= Math.min(b, right) : b > left && a < right;
          e.setAttribute("x", Math.min(at, right - w));
          e.classList.toggle("off", !fits);
        } else {
          const from = Math.max(a, left - 9), to = Math.min(b, right + 9); // huge numbers draw badly
          e.setAttribute("x", from);
          e.setAttribute("width", Math.max(to - from, to >= from ? 1 : 0));
        }
      }
      const k = (whole.to - whole.from) / (view.to - view.from);
      const shift = left - width * (view.from - whole.from) / (whole.to - whole.from) * k;
      for (const g of dense) g.setAttribute("transform", `translate(${shift} 0) scale(${k} 1)`);
      drawTicks();
      for (const listener of listeners) listener();
    };
    const zoom = (from, to) => {
      const least = 5, span = Math.max(to - from, least);
      from = Math.max(whole.from, Math.min(from, whole.to - span));
      view.from = from;
      view.to = Math.min(whole.to, from + span);
      chart.dataset.from = view.from; // what is shown, for whoever looks
      chart.dataset.to = view.to;
      draw();
    };
    const scale = (factor, about = (view.from + view.to) / 2) => zoom(about - (about - view.from) * factor, about + (view.to - about) * factor);
    const reset = () => zoom(whole.from, whole.to);

    for (const button of all("[data-zoom]")) button.addEventListener("click", () => ({ in: () => scale(.5), out: () => scale(2), all: reset })[button.dataset.zoom]());
    for (const button of all("[data-show]")) {
      button.addEventListener("click", () => {
        const [from, to] = button.dataset.show.split(",").map(Number), margin = Math.max((to - from) * .25, 300);
        zoom(from - margin, to + margin);
        $("chart").scrollIntoView();
      });
    }
    const figure = chart.closest("figure");
    figure.addEventListener("keydown", (e) => {
      const span = view.to - view.from;
      const act = { "+": () => scale(.5), "=": () => scale(.5), "-": () => scale(2), "0": reset, Escape: reset,
        ArrowLeft: () => zoom(view.from - span / 4, view.to - span / 4), ArrowRight: () => zoom(view.from + span / 4, view.to + span / 4) }[e.key];
      if (act && !e.ctrlKey && !e.metaKey) { act(); e.preventDefault(); }
    });

    // The pointer: its moment, in every track.
    const surface = $("surface"), cursor = $("cursor"), brush = $("brush"), values = $("values");
    const point = (e) => new DOMPoint(e.clientX, e.clientY).matrixTransform(chart.getScreenCTM().inverse());
    let began = null;
    surface.addEventListener("pointerdown", (e) => { began = point(e).x; surface.setPointerCapture(e.pointerId); });
    surface.addEventListener("pointermove", (e) => {
      const p = point(e);
      if (began !== null) {
        brush.setAttribute("x", Math.max(left, Math.min(began, p.x)));
        brush.setAttribute("width", Math.abs(p.x - began));
      }
      hover(p, e);
    });
    surface.addEventListener("pointerup", (e) => {
      const end = point(e).x, from = began;
      began = null;
      brush.setAttribute("width", 0);
      if (from !== null && Math.abs(end - from) > 6) zoom(time(Math.min(from, end)), time(Math.max(from, end)));
    });
    surface.addEventListener("pointerleave", () => { values.hidden = true; cursor.setAttribute("x1", -9); cursor.setAttribute("x2", -9); });
    surface.addEventListener("dblclick", reset);
    surface.addEventListener("wheel", (e) => {
      if (!e.ctrlKey) return; // scrolling is for the page
      e.preventDefault();
      scale(e.deltaY > 0 ? 1.25 : .8, time(point(e).x));
    }, { passive: false });

    const lastBefore = (sorted, t) => {
      let lo = 0, hi = sorted.length;
      while (lo < hi) { const mid = (lo + hi) >> 1; if (sorted[mid] <= t) lo = mid + 1; else hi = mid; }
      return lo - 1;
    };
    const faults = all(".fault", chart);
    const row = (...cells) => {
      const tr = document.createElement("tr");
      for (const c of cells) tr.appendChild(document.createElement("td")).textContent = c;
      return tr;
    };
    const calls = ops.map((op) => op.call);
    const nearest = (t) => {
      let best = null, reach = (view.to - view.from) / width * 6;
      for (let i = Math.max(0, lastBefore(calls, t - reach)); i < ops.length && calls[i] <= t + reach; i++) {
        if (Math.abs(calls[i] - t) < reach) { reach = Math.abs(calls[i] - t); best = ops[i]; }
      }
      return best;
    };
    const hover = (p, e) => {
      const t = time(p.x), table = document.createElement("table"), title = document.createElement("b");
      cursor.setAttribute("x1", p.x);
      cursor.setAttribute("x2", p.x);
      title.textContent = clock(t);
      for (const f of faults) {
        if (+f.dataset.a <= t && t <= +f.dataset.b) table.append(row("fault", f.querySelector("title").textContent.split("\n")[0]));
      }
      for (const node of Object.keys(packed?.samples ?? {}).sort((a, b) => a.length - b.length || (a < b ? -1 : 1))) {
        const s = packed.samples[node], i = lastBefore(s.at ?? [], t);
        if (i < 0 || t > s.at[s.at.length - 1] + 1000) continue; // it had not come yet, or was gone
        table.append(row(node, s.role[i] ? `${words[s.role[i]]}, term ${s.term[i]}, commit ${s.commit[i]}, applied ${s.applied[i]}` : "no answer"));
      }
      const span = Math.max(200, (view.to - view.from) / 120), count = { ok: 0, failed: 0, unknown: 0 };
      for (let i = Math.max(0, lastBefore(calls, t - span / 2)); i < ops.length && calls[i] <= t + span / 2; i++) if (calls[i] >= t - span / 2) count[ops[i].outcome]++;
      table.append(row("called", `${Math.round(count.ok * 1000 / span)} ok, ${Math.round(count.failed * 1000 / span)} failed, ${Math.round(count.unknown * 1000 / span)} unknown per second`));
      const op = nearest(t);
      if (op) table.append(row("#" + op.id, `${op.asked} of ${op.key} at ${op.node}: ${op.answer}, ${op.took === null ? "never answered" : milliseconds(op.took)}`));
      values.replaceChildren(title, table);
      values.hidden = false;
      const box = figure.getBoundingClientRect(), at = e.clientX - box.left;
      values.style.left = (at + values.offsetWidth + 28 < box.width ? at + 16 : Math.max(0, at - values.offsetWidth - 16)) + "px";
    };
  }

  // The filter. Words must all match; -word leaves out.
  const form = $("filter");
  if (form && packed) {
    const input = $("words"), body = $("list").tBodies[0], found = $("found"), shown = $("shown"), more = $("more"), inView = $("inview");
    const page = 200;
    let matches = ops, limit = page;
    const duration = /^([<>])(\d+(?:\.\d+)?)(µs|us|ms|s)$/;
    const test = (word) => {
      const m = duration.exec(word);
      if (m) {
        const bound = m[2] * { "µs": .001, us: .001, ms: 1, s: 1000 }[m[3]];
        return (op) => op.took === null ? m[1] === ">" : m[1] === ">" ? op.took > bound : op.took < bound;
      }
      const colon = word.indexOf(":"), field = word.slice(0, colon), value = word.slice(colon + 1);
      const fields = { client: "client", key: "key", node: "node", served: "served", kind: "kind", outcome: "outcome", phase: "phase", term: "term", index: "index", id: "id" };
      if (colon > 0 && fields[field]) return (op) => String(op[fields[field]]) === value;
      if (word[0] === "#") return (op) => "#" + op.id === word;
      // A word that names something means exactly that; other words may be part of a value, a phase or an error.
      if (words.includes(word)) return (op) => [op.kind, op.outcome, op.key, op.node, op.served, op.phase, op.error, op.answer].includes(word);
      return (op) => [op.asked, op.answer, op.phase, op.error, op.key].some((text) => text.includes(word));
    };
    const cells = (op) => [op.id, op.client, op.node, op.key, op.asked, op.answer, clock(op.call), op.took === null ? "–" : milliseconds(op.took), op.served, op.index || "–", op.term || "–", op.phase];
    const render = () => {
      body.replaceChildren(...matches.slice(0, limit).map((op) => {
        const tr = document.createElement("tr");
        cells(op).forEach((text, i) => {
          const td = tr.appendChild(document.createElement("td"));
          if (i === 4) td.appendChild(document.createElement("code")).textContent = text; else td.textContent = text;
          if (i === 5) td.className = op.outcome;
        });
        if (op.error) tr.title = op.error;
        return tr;
      }));
      const n = Math.min(limit, matches.length).toLocaleString("en"), of = matches.length.toLocaleString("en");
      found.textContent = matches.length === 0 ? "nothing matches" : `${of} of ${packed.operations.toLocaleString("en")} operations`;
      shown.textContent = matches.length > limit ? `Showing ${n} of ${of}.` : `Showing ${of}.`;
      if (packed.operations > ops.length) shown.textContent += ` The page holds the first ${ops.length.toLocaleString("en")} of ${packed.operations.toLocaleString("en")}.`;
      more.hidden = matches.length <= limit;
    };
    const filter = () => {
      const tests = input.value.trim().split(/\s+/).filter(Boolean).map((word) => {
        if (word.length > 1 && word[0] === "-") { const t = test(word.slice(1)); return (op) => !t(op); }
        return test(word);
      });
      matches = ops.filter((op) => (!inView.checked || !view || op.call >= view.from && op.call <= view.to) && tests.every((t) => t(op)));
      limit = page;
      render();
    };
    input.addEventListener("input", filter);
    inView.addEventListener("change", filter);
    form.addEventListener("submit", (e) => { e.preventDefault(); filter(); });
    more.addEventListener("click", () => { limit += 1000; render(); });
    listeners.push(() => { if (inView.checked) filter(); });
    for (const link of all("[data-filter]")) link.addEventListener("click", () => { input.value = link.dataset.filter; filter(); });
    render();
  }
})();
