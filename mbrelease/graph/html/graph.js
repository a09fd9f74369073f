// Moves and zooms the picture, finds variants, and shows what belongs to the chosen one.
// Everything it writes is text, and it asks the network for nothing.
"use strict";
(() => {
  const byId = id => document.getElementById(id);
  const { nodes, edges, before } = JSON.parse(byId("data").textContent);
  const svg = byId("graph"), stage = byId("stage"), sheet = byId("sheet");
  const find = byId("find"), found = byId("found"), panel = byId("picked");
  const full = { width: svg.width.baseVal.value, height: svg.height.baseVal.value };
  const boxes = [...svg.querySelectorAll(".nodes > .node")];
  const SUPERSEDES = "supersedes";
  const LEAST_READABLE = 0.35, FAR = 0.45;

  // ---- the view: the point of the picture at the stage's top left corner, and pixels of the stage
  // for one of the picture. The whole SVG is moved by the browser, which draws none of it anew.
  const view = { x: 0, y: 0, zoom: 1 };
  let fitted = false; // all of the picture is shown, and nobody has moved it
  let frame = stage.getBoundingClientRect();
  const fitting = () => Math.min(frame.width / full.width, frame.height / full.height);

  function show() {
    if (!frame.width || !frame.height) return;
    const wide = frame.width / view.zoom, high = frame.height / view.zoom;
    // Some of the picture stays in sight.
    view.x = Math.min(Math.max(view.x, -wide * 0.8), full.width - wide * 0.2);
    view.y = Math.min(Math.max(view.y, -high * 0.8), full.height - high * 0.2);
    const { x, y, zoom } = view;
    sheet.style.transform = `translate(${-x * zoom}px, ${-y * zoom}px) scale(${zoom})`;
    const far = zoom < FAR;
    if (far !== svg.classList.contains("far")) svg.classList.toggle("far", far);
  }

  function centre(x, y, zoom) {
    fitted = false;
    Object.assign(view, { zoom, x: x - frame.width / zoom / 2, y: y - frame.height / zoom / 2 });
    show();
  }

  function fit() {
    centre(full.width / 2, full.height / 2, Math.min(fitting(), 1.25));
    fitted = true;
  }

  // Zooms so that what is at a point of the window stays there.
  function zoomAt(factor, left, top) {
    const zoom = Math.min(4, Math.max(Math.min(fitting() * 0.7, 0.5), view.zoom * factor));
    view.x += (left - frame.left) * (1 / view.zoom - 1 / zoom);
    view.y += (top - frame.top) * (1 / view.zoom - 1 / zoom);
    view.zoom = zoom;
    fitted = false;
    show();
  }

  function zoomMiddle(factor) {
    zoomAt(factor, frame.left + frame.width / 2, frame.top + frame.height / 2);
  }

  function move(left, top) {
    view.x -= left / view.zoom;
    view.y -= top / view.zoom;
    fitted = false;
    show();
  }

  // ---- mouse, pen and fingers
  const pointers = new Map();
  let dragged = false;

  stage.addEventListener("pointerdown", event => {
    if (event.button > 0) return;
    if (pointers.size === 0) dragged = false;
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
  });

  stage.addEventListener("pointermove", event => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const now = [event.clientX, event.clientY];
    // A hand that trembles still clicks.
    if (!dragged && Math.hypot(now[0] - last[0], now[1] - last[1]) < 4) return;
    if (!dragged) {
      dragged = true;
      stage.classList.add("moving");
      for (const id of pointers.keys()) try { stage.setPointerCapture(id); } catch { /* it is gone */ }
    }
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = point => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      zoomAt(apart(now) / apart(last), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      move((now[0] - last[0]) / 2, (now[1] - last[1]) / 2);
    } else {
      move(now[0] - last[0], now[1] - last[1]);
    }
    pointers.set(event.pointerId, now);
  });

  function lift(event) {
    pointers.delete(event.pointerId);
    if (pointers.size === 0) stage.classList.remove("moving");
  }
  stage.addEventListener("pointerup", lift);
  stage.addEventListener("pointercancel", lift);
  window.addEventListener("pointerup", lift);

  stage.addEventListener("wheel", event => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    if (event.shiftKey) move(-(event.deltaX + event.deltaY) * lines, 0);
    else zoomAt(Math.exp(-event.deltaY * lines * 0.0018), event.clientX, event.clientY);
  }, { passive: false });

  stage.addEventListener("click", event => {
    if (dragged) return;
    const box = event.target.closest(".nodes > .node");
    choose(box ? boxes.indexOf(box) : -1);
  });

  // ---- who belongs to whom
  const above = nodes.map(() => []), below = nodes.map(() => []);
  edges.forEach(([older, newer], i) => { above[newer].push(i); below[older].push(i); });
  const curves = [], besides = [], stubs = new Map();
  for (const each of svg.querySelectorAll("[data-curve]")) (curves[each.dataset.curve] ??= []).push(each);
  for (const each of svg.querySelectorAll("[data-beside]")) (besides[each.dataset.beside] ??= []).push(each);
  for (const each of svg.querySelectorAll(".stubs > *")) {
    const key = `${each.dataset.node} ${each.dataset.kind}`;
    if (!stubs.has(key)) stubs.set(key, []);
    stubs.get(key).push(each);
  }

  // The relatives of a variant in one direction, and the edges that lead to them.
  function reached(start, ways, end) {
    const seen = new Set([start]), used = new Set(), waiting = [start];
    while (waiting.length) {
      for (const i of ways[waiting.pop()]) {
        if (edges[i][2] === SUPERSEDES) continue;
        used.add(i);
        const next = edges[i][end];
        if (!seen.has(next)) { seen.add(next); waiting.push(next); }
      }
    }
    seen.delete(start);
    return [seen, used];
  }

  function light(i) {
    const [, , kind, curve, beside, stub] = edges[i];
    for (let at = curve; at >= 0; at = before[at]) for (const each of curves[at]) each.classList.add("on");
    for (const each of besides[beside] ?? []) each.classList.add("on");
    for (const each of stubs.get(`${stub} ${kind}`) ?? []) each.classList.add("on");
  }

  let chosen = -1;
  function choose(node, { centred = false } = {}) {
    for (const each of svg.querySelectorAll(".on, .chosen")) each.classList.remove("on", "chosen");
    chosen = node;
    svg.classList.toggle("choosing", node >= 0);
    panel.hidden = node < 0;
    panel.replaceChildren();
    remember(node < 0 ? "" : "#" + encodeURIComponent(nodes[node].name));
    if (node < 0) return;
    const [older, up] = reached(node, above, 0), [newer, down] = reached(node, below, 1);
    const versions = [...above[node], ...below[node]].filter(i => edges[i][2] === SUPERSEDES);
    for (const i of [...up, ...down, ...versions]) light(i);
    for (const each of [node, ...older, ...newer, ...versions.flatMap(i => edges[i].slice(0, 2))]) {
      boxes[each].classList.add("on");
    }
    boxes[node].classList.add("chosen");
    rove(node);
    describe(node, older.size, newer.size);
    // The panel that opened took its room from the stage.
    frame = stage.getBoundingClientRect();
    if (centred) look(node);
    else keepInSight(node);
  }

  // So that the address leads here again.
  function remember(hash) {
    try { history.replaceState(null, "", location.pathname + location.search + hash); }
    catch { /* a page without an address of its own */ }
  }

  // ---- the panel
  function made(tag, text, ...inside) {
    const element = document.createElement(tag);
    if (text) element.textContent = text;
    element.append(...inside);
    return element;
  }

  function way(node) {
    const button = made("button", nodes[node].name);
    button.type = "button";
    button.className = "go";
    button.addEventListener("click", () => choose(node, { centred: true }));
    return button;
  }

  function relatives(title, list, end) {
    if (!list.length) return;
    const items = list.map(i => {
      const item = made("li", "", made("span", "", way(edges[i][end])));
      if (edges[i][2] !== SUPERSEDES) item.firstChild.append(` (${edges[i][6]})`);
      return item;
    });
    panel.append(made("h3", title), made("ul", "", ...items));
  }

  function describe(node, older, newer) {
    const { name, repo, href, state, summary, facts } = nodes[node];
    panel.append(made("h2", name));
    if (repo) {
      const link = made(href ? "a" : "span", repo);
      if (href) Object.assign(link, { href, rel: "noopener noreferrer", target: "_blank" });
      panel.append(made("p", "", link));
    }
    panel.append(made("p", state));
    if (summary) panel.append(made("p", summary));
    const list = document.createElement("dl");
    for (const [what, text] of facts) list.append(made("dt", what), made("dd", text));
    if (facts.length) panel.append(list);
    const isVersion = i => edges[i][2] === SUPERSEDES;
    relatives("Made from", above[node].filter(i => !isVersion(i)), 0);
    relatives("Supersedes", above[node].filter(isVersion), 0);
    relatives("Superseded by", below[node].filter(isVersion), 1);
    relatives("Made into", below[node].filter(i => !isVersion(i)), 1);
    const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
    panel.append(made("p", `${count(older, "ancestor")}, ${count(newer, "descendant")} in this picture`));
    panel.lastChild.className = "quiet";
  }

  // ---- one node at a time is reached by the tab key, and from there the others by arrows
  let current = 0;
  function rove(node) {
    boxes[current]?.setAttribute("tabindex", "-1");
    current = node;
    boxes[current]?.setAttribute("tabindex", "0");
  }

  // Where each stands in the picture; it never changes.
  const margin = svg.querySelector("g").transform.baseVal.consolidate().matrix;
  const places = boxes.map(box => {
    const { e: x, f: y } = box.transform.baseVal.consolidate().matrix;
    const { width, height } = box.querySelector("rect");
    return {
      left: x + margin.e, top: y + margin.f,
      width: width.baseVal.value, height: height.baseVal.value,
    };
  });

  function look(node) {
    const { left, top, width, height } = places[node];
    centre(left + width / 2, top + height / 2, Math.max(view.zoom, 0.8));
  }

  function isInSight(node) {
    const { left, top, width, height } = places[node];
    return left >= view.x && top >= view.y
      && left + width <= view.x + frame.width / view.zoom
      && top + height <= view.y + frame.height / view.zoom;
  }

  function keepInSight(node) {
    if (!isInSight(node)) look(node);
  }

  function neighbour(node, key) {
    const lineage = list => list.find(i => edges[i][2] !== SUPERSEDES);
    if (key === "ArrowLeft") return edges[lineage(above[node])]?.[0];
    if (key === "ArrowRight") return edges[lineage(below[node])]?.[1];
    const own = places[node], down = key === "ArrowDown" ? 1 : -1;
    let best, nearest = Infinity;
    boxes.forEach((_, other) => {
      const { left, top } = places[other], distance = (top - own.top) * down;
      if (left === own.left && distance > 0 && distance < nearest) [best, nearest] = [other, distance];
    });
    return best;
  }

  const STEPS = { ArrowLeft: [80, 0], ArrowRight: [-80, 0], ArrowUp: [0, 80], ArrowDown: [0, -80] };
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target === find;
    const node = boxes.indexOf(event.target.closest?.(".node"));
    if (event.key === "Escape") {
      if (typing) { find.value = ""; search(); find.blur(); }
      choose(-1);
    } else if (typing || event.target.closest?.("aside")) {
      return;
    } else if (event.key === "/") {
      find.focus();
    } else if (node >= 0 && (event.key === "Enter" || event.key === " ")) {
      choose(node);
    } else if (node >= 0 && STEPS[event.key] && !event.shiftKey) {
      const next = neighbour(node, event.key);
      if (next !== undefined) { choose(next); boxes[next].focus({ preventScroll: true }); }
    } else if (STEPS[event.key]) {
      move(...STEPS[event.key]);
    } else if (event.key === "+" || event.key === "=") {
      zoomMiddle(1.25);
    } else if (event.key === "-") {
      zoomMiddle(0.8);
    } else if (event.key === "0") {
      fit();
    } else {
      return;
    }
    event.preventDefault();
  });

  // ---- finding
  const texts = nodes.map(({ name, repo, aliases }) => [name, repo ?? "", ...aliases].join("\n").toLowerCase());
  let hits = [], hit = 0;
  function search() {
    const words = find.value.trim().toLowerCase();
    for (const each of svg.querySelectorAll(".hit")) each.classList.remove("hit");
    const rank = i => [nodes[i].name.toLowerCase() !== words, !texts[i].startsWith(words), i];
    hits = words ? nodes.map((_, i) => i).filter(i => texts[i].includes(words)) : [];
    hits.sort((a, b) => {
      const one = rank(a), other = rank(b), at = one.findIndex((value, k) => value !== other[k]);
      return at < 0 ? 0 : one[at] - other[at];
    });
    hit = 0;
    for (const i of hits) boxes[i].classList.add("hit");
    svg.classList.toggle("searching", hits.length > 0);
    if (hits.length) look(hits[0]);
    tell();
  }
  function tell() {
    const none = find.value.trim() ? "none found" : "";
    found.textContent = hits.length ? `${hit + 1} of ${hits.length}` : none;
  }
  find.addEventListener("input", search);
  byId("search").addEventListener("submit", event => {
    event.preventDefault();
    if (!hits.length) return;
    if (chosen === hits[hit]) hit = (hit + 1) % hits.length;
    choose(hits[hit], { centred: true });
    tell();
  });

  // ---- the start
  byId("in").addEventListener("click", () => zoomMiddle(1.25));
  byId("out").addEventListener("click", () => zoomMiddle(0.8));
  byId("fit").addEventListener("click", fit);
  for (const id of ["search", "tools", "help"]) byId(id).hidden = false;
  document.documentElement.classList.add("live");
  frame = stage.getBoundingClientRect();
  svg.setAttribute("role", "group");
  boxes.forEach((box, i) => {
    box.setAttribute("role", "button");
    box.setAttribute("tabindex", "-1");
    box.setAttribute("aria-label", `${nodes[i].name}, ${nodes[i].state}`);
  });
  rove(0);

  function start() {
    const named = nodes.findIndex(({ name }) => "#" + encodeURIComponent(name) === location.hash);
    const readable = fitting() >= LEAST_READABLE || !nodes.length;
    if (readable) fit();
    if (named >= 0) choose(named, { centred: !readable });
    else if (!readable) {
      // Too large to be read as a whole: begin with the ancestors at the left.
      const { top, height } = places[0], zoom = 0.7;
      centre(frame.width / zoom / 2, top + height / 2, zoom);
    }
  }
  start();
  window.addEventListener("hashchange", start);
  new ResizeObserver(() => {
    const looking = chosen >= 0 && isInSight(chosen);
    frame = stage.getBoundingClientRect();
    if (!frame.width || !frame.height) return;
    if (fitted && fitting() >= LEAST_READABLE) fit();
    else if (looking) keepInSight(chosen);
    else show();
  }).observe(stage);
})();
