"use strict";
/* Draws the flows of each .alto-flow section. Only the rows in sight are in the document, so a
   thousand spans cost as much as forty. Every text becomes a text node. */
(() => {
  const BELOW = 40; // rows' worth of pixels drawn outside of what is in sight
  const MOST_LINKS = 64;
  const MANY = 150; // rows
  const isNarrow = () => window.matchMedia("(max-width: 640px)").matches;

  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function button(text, label, onClick) {
    const made = element("button", "", text);
    made.type = "button";
    made.setAttribute("aria-label", label);
    made.title = label;
    made.addEventListener("click", onClick);
    return made;
  }

  function seconds(value) {
    if (value >= 10) return value.toFixed(1) + " s";
    if (value >= 1) return value.toFixed(2) + " s";
    if (value >= 0.01 || value <= 0) return Math.round(value * 1000) + " ms";
    return (value * 1000).toFixed(2) + " ms";
  }

  /* Round steps of the axis: 1, 2 or 5 times a power of ten. */
  function stepFor(span, most) {
    const rough = span / Math.max(1, most);
    const power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= rough * 0.999);
  }

  function axisText(value, step) {
    if (value === 0) return "0";
    if (step >= 1) return Math.round(value) + " s";
    if (step >= 0.001) {
      return value >= 1 ? value.toFixed(Math.ceil(-Math.log10(step) - 1e-9)) + " s" : Math.round(value * 1000) + " ms";
    }
    return (value * 1000).toFixed(Math.min(3, Math.ceil(-Math.log10(step * 1000)))) + " ms";
  }

  /* What all panels of a section share: the part of the time axis in sight. */
  class View {
    constructor(length) {
      this.length = length > 0 ? length * 1.02 : 1;
      this.panels = [];
      this.reset();
    }
    reset() {
      this.from = 0;
      this.to = this.length;
      this.changed();
    }
    show(from, to) {
      const width = Math.min(Math.max(to - from, this.length * 1e-5), this.length);
      this.from = Math.min(Math.max(0, from), this.length - width);
      this.to = this.from + width;
      this.changed();
    }
    zoom(factor, at = (this.from + this.to) / 2) {
      this.show(at - (at - this.from) * factor, at + (this.to - at) * factor);
    }
    pan(part) {
      const by = (this.to - this.from) * part;
      this.show(this.from + by, this.to + by);
    }
    percent(time) {
      return ((time - this.from) / (this.to - this.from)) * 100;
    }
    changed() {
      for (const panel of this.panels) panel.draw(true);
    }
  }

  class Panel {
    constructor(flow, view, number, help) {
      this.flow = flow;
      this.view = view;
      this.help = help;
      this.rows = flow.rows;
      this.id = `alto-flow-${number}-${Math.random().toString(36).slice(2, 8)}`;
      this.below = this.rows.map(() => []);
      this.rows.forEach((row, n) => {
        if (row.up !== null) this.below[row.up].push(n);
      });
      this.feeds = this.rows.map(() => []);
      this.rows.forEach((row, n) => (row.fed || []).forEach(([from, at]) => this.feeds[from].push([n, at])));
      this.hull = this.rows.map(() => null);
      for (let n = this.rows.length - 1; n >= 0; n--) {
        const { up, at } = this.rows[n];
        if (up === null) continue;
        const spans = [at, this.hull[n] || at, this.hull[up] || at];
        this.hull[up] = [Math.min(...spans.map((i) => i[0])), Math.max(...spans.map((i) => i[1]))];
      }
      // A long run opens with its tasks in sight and what is inside of them folded.
      const isLong = this.rows.length > MANY;
      this.folded = new Set(isLong ? [...this.rows.keys()].filter((n) => this.below[n].length && this.rows[n].depth > 1) : []);
      this.drawn = new Map();
      this.current = this.rows.length ? 0 : null;
      this.opened = null;
      this.build();
      this.refold();
    }

    build() {
      const flow = this.flow;
      this.root = element("div", "panel");
      const about = element("div", "about");
      const title = element("h2", "", flow.title);
      if (flow.executor) title.append(element("span", "", ` on ${flow.executor}`));
      const facts = element("dl");
      for (const [name, text] of flow.facts) {
        const pair = element("div");
        pair.append(element("dt", "", name), element("dd", "", text));
        facts.append(pair);
      }
      about.append(title, facts);
      this.frame = element("div", "frame");
      const axis = element("div", "axis");
      axis.setAttribute("aria-hidden", "true");
      this.scale = element("div", "scale");
      axis.append(this.scale);
      this.scroll = element("div", "scroll");
      this.scroll.tabIndex = 0;
      this.scroll.setAttribute("role", "tree");
      this.scroll.setAttribute("aria-label", `${flow.title}${flow.executor ? " on " + flow.executor : ""}: tasks by what they descend from`);
      this.space = element("div", "space");
      this.space.setAttribute("role", "presentation");
      this.grid = element("div", "grid");
      this.grid.setAttribute("aria-hidden", "true");
      this.links = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      this.links.setAttribute("class", "links");
      this.links.setAttribute("aria-hidden", "true");
      this.space.append(this.grid, this.links);
      this.scroll.append(this.space);
      this.detail = element("div", "detail");
      this.detail.hidden = true;
      this.detail.setAttribute("role", "region");
      this.detail.setAttribute("aria-label", "Details");
      this.frame.append(axis, this.scroll, this.detail);
      this.root.append(about, this.frame);
      this.tip = element("div", "tip");
      this.tip.hidden = true;
      this.tip.setAttribute("role", "tooltip");
      this.root.append(this.tip);
      if (!this.rows.length) this.scroll.append(element("div", "empty", "Nothing was recorded."));
      this.listen();
    }

    listen() {
      const scroll = this.scroll;
      scroll.addEventListener("scroll", () => this.draw(false), { passive: true });
      scroll.addEventListener("focus", () => {
        this.touched = true;
        this.draw(false);
      });
      scroll.addEventListener("keydown", (event) => this.key(event));
      scroll.addEventListener("click", (event) => {
        const number = this.rowAt(event);
        if (number === null) return;
        this.choose(number);
        if (event.target.classList.contains("fold") && this.below[number].length) this.fold(number);
        else this.open(number);
      });
      scroll.addEventListener("mousemove", (event) => this.hover(event));
      scroll.addEventListener("mouseleave", () => (this.tip.hidden = true));
      scroll.addEventListener(
        "wheel",
        (event) => {
          if (!event.ctrlKey && !event.metaKey && !event.shiftKey) return;
          event.preventDefault();
          if (event.shiftKey) this.view.pan(Math.sign(event.deltaY || event.deltaX) * 0.1);
          else this.view.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.timeAt(event.clientX));
        },
        { passive: false },
      );
      this.scale.addEventListener("pointerdown", (event) => this.drag(event));
      this.scale.addEventListener("dblclick", () => this.view.reset());
      new ResizeObserver(() => {
        if (this.root.clientWidth) this.refold();
      }).observe(this.root);
    }

    timeAt(x) {
      const box = this.scale.getBoundingClientRect();
      const part = Math.min(1, Math.max(0, (x - box.left) / box.width));
      return this.view.from + part * (this.view.to - this.view.from);
    }

    /* A range that is dragged on the axis is what is shown next. */
    drag(event) {
      const from = event.clientX;
      const box = this.scale.getBoundingClientRect();
      const range = element("div", "range");
      this.scale.append(range);
      this.scale.setPointerCapture(event.pointerId);
      const move = (moved) => {
        range.style.left = `${Math.min(from, moved.clientX) - box.left}px`;
        range.style.width = `${Math.abs(moved.clientX - from)}px`;
      };
      const end = (moved) => {
        this.scale.removeEventListener("pointermove", move);
        range.remove();
        if (moved.type === "pointerup" && Math.abs(moved.clientX - from) > 5) {
          const times = [this.timeAt(from), this.timeAt(moved.clientX)].sort((a, b) => a - b);
          this.view.show(times[0], times[1]);
        }
      };
      this.scale.addEventListener("pointermove", move);
      this.scale.addEventListener("pointerup", end, { once: true });
      this.scale.addEventListener("pointercancel", end, { once: true });
    }

    /* Works out which rows are in the list, then draws. */
    refold() {
      this.height = isNarrow() ? 44 : 28;
      this.list = [];
      const hidden = new Set();
      this.rows.forEach((row, n) => {
        if (row.up !== null && (hidden.has(row.up) || this.folded.has(row.up))) hidden.add(n);
        else this.list.push(n);
      });
      this.place = new Map(this.list.map((n, position) => [n, position]));
      this.space.style.height = `${this.list.length * this.height}px`;
      this.root.style.setProperty("--row", `${this.height}px`);
      this.draw(true);
    }

    draw(anew) {
      if (anew) {
        for (const drawn of this.drawn.values()) drawn.remove();
        this.drawn.clear();
        this.drawScale();
      }
      const top = this.scroll.scrollTop;
      const first = Math.max(0, Math.floor(top / this.height) - BELOW / 4);
      const seen = this.scroll.clientHeight || 700;
      const last = Math.min(this.list.length, Math.ceil((top + seen) / this.height) + BELOW / 4);
      const wanted = new Set(this.list.slice(first, last));
      for (const [n, drawn] of this.drawn) {
        if (!wanted.has(n)) {
          drawn.remove();
          this.drawn.delete(n);
        }
      }
      const fresh = document.createDocumentFragment();
      for (let position = first; position < last; position++) {
        const n = this.list[position];
        if (this.drawn.has(n)) continue;
        const made = this.row(n, position);
        this.drawn.set(n, made);
        fresh.append(made);
      }
      this.space.append(fresh);
      this.mark();
      this.drawLinks();
    }

    drawScale() {
      const view = this.view;
      const width = this.scale.clientWidth || 800;
      const step = stepFor(view.to - view.from, width / (isNarrow() ? 55 : 100));
      this.scale.textContent = "";
      this.grid.textContent = "";
      for (let n = Math.ceil(view.from / step - 1e-9); n * step < view.to; n++) {
        const left = `${view.percent(n * step)}%`;
        const mark = element("span", "", axisText(n * step, step));
        mark.style.left = left;
        if (view.percent(n * step) < 96) this.scale.append(mark);
        const line = element("i");
        line.style.left = left;
        this.grid.append(line);
      }
    }

    row(n, position) {
      const row = this.rows[n];
      const made = element("div", `row ${row.kind}`);
      if (row.outcome === "adopted") made.classList.add("ahead");
      if (row.outcome === "discarded" || row.outcome === "rerun") made.classList.add("lost");
      if (row.failed) made.classList.add("failed");
      made.id = `${this.id}-${n}`;
      made.style.top = `${position * this.height}px`;
      made.style.setProperty("--depth", Math.min(row.depth, 10));
      made.setAttribute("role", "treeitem");
      made.setAttribute("aria-level", row.depth + 1);
      made.setAttribute("aria-label", this.spoken(row));
      if (this.below[n].length) made.setAttribute("aria-expanded", String(!this.folded.has(n)));
      const siblings = row.up === null ? this.rows.map((_, i) => i).filter((i) => this.rows[i].up === null) : this.below[row.up];
      made.setAttribute("aria-setsize", siblings.length);
      made.setAttribute("aria-posinset", siblings.indexOf(n) + 1);
      const name = element("div", "name");
      const fold = element("span", "fold", this.below[n].length ? "\u25B6" : "");
      if (!this.folded.has(n)) fold.classList.add("open");
      name.append(fold, element("span", "label", row.label));
      if (row.item && row.item !== row.label) name.append(element("span", "item", row.item));
      made.append(name, this.bars(row, this.folded.has(n) ? this.hull[n] : null));
      return made;
    }

    /* `inside` is from when to when what is folded away below the row ran. */
    bars(row, inside) {
      const time = element("div", "time");
      const put = (className, from, to) => {
        if (to < this.view.from || from > this.view.to) return;
        const start = Math.max(-1, this.view.percent(from));
        const made = element("div", className);
        made.style.left = `${start}%`;
        if (className !== "tick") made.style.width = `${Math.max(0, Math.min(101, this.view.percent(to)) - start)}%`;
        time.append(made);
      };
      for (const [from, to] of row.waits || []) put("wait", from, to);
      put("bar", row.at[0], row.at[1]);
      for (const [from, to] of row.overlaps || []) put("over", from, to);
      for (const at of row.ticks || []) put("tick", at, at);
      if (inside) put("inside", inside[0], inside[1]);
      for (const [from, to] of row.path || []) put("mark", from, to);
      for (const [from, to] of row.held || []) put("mark held", from, to);
      return time;
    }

    spoken(row) {
      const parts = [row.label];
      if (row.item && row.item !== row.label) parts.push(row.item);
      parts.push(`from ${seconds(row.at[0])}, for ${seconds(row.at[1] - row.at[0])}`);
      if (row.ticks) parts.push(`${row.emitted} partial outputs`);
      if (row.path) parts.push("on the critical path");
      if (row.failed) parts.push("failed");
      return parts.concat(row.why || []).join(", ");
    }

    mark() {
      for (const [n, drawn] of this.drawn) {
        const chosen = n === this.current && Boolean(this.touched);
        drawn.classList.toggle("chosen", chosen);
        drawn.setAttribute("aria-selected", String(chosen));
      }
      if (this.current !== null && this.drawn.has(this.current)) this.scroll.setAttribute("aria-activedescendant", `${this.id}-${this.current}`);
      else this.scroll.removeAttribute("aria-activedescendant");
    }

    /* From the producer, when the input was there, to the start of what it fed. */
    drawLinks() {
      this.links.textContent = "";
      if (this.current === null || !this.touched) return;
      const width = this.scale.clientWidth;
      this.links.setAttribute("width", width);
      this.links.setAttribute("height", this.list.length * this.height);
      const x = (time) => (this.view.percent(time) / 100) * width;
      const y = (n) => (this.place.get(n) + 0.5) * this.height + (isNarrow() ? 9 : 0);
      const line = (from, at, to, className) => {
        if (!this.place.has(from) || !this.place.has(to)) return;
        const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
        const [x1, y1, x2, y2] = [x(at), y(from), x(this.rows[to].at[0]), y(to)];
        const bend = Math.max(8, Math.abs(x2 - x1) / 2);
        path.setAttribute("d", `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`);
        path.setAttribute("class", className);
        this.links.append(path);
      };
      (this.rows[this.current].fed || []).slice(0, MOST_LINKS).forEach(([from, at]) => line(from, at, this.current, "in"));
      this.feeds[this.current].slice(0, MOST_LINKS).forEach(([to, at]) => line(this.current, at, to, "out"));
    }

    choose(n) {
      this.current = n;
      this.touched = true;
      this.bringIntoSight(n);
      this.draw(false);
      if (this.opened !== null) this.open(n);
    }

    bringIntoSight(n) {
      const top = this.place.get(n) * this.height;
      if (top < this.scroll.scrollTop) this.scroll.scrollTop = top;
      const bottom = top + this.height - this.scroll.clientHeight;
      if (bottom > this.scroll.scrollTop) this.scroll.scrollTop = bottom;
    }

    fold(n, folded = !this.folded.has(n)) {
      if (folded) this.folded.add(n);
      else this.folded.delete(n);
      this.refold();
    }

    foldAll(folded) {
      this.folded = new Set(folded ? [...this.rows.keys()].filter((n) => this.below[n].length && this.rows[n].depth > 0) : []);
      while (this.current !== null && this.rows[this.current].up !== null && this.isHidden(this.current)) this.current = this.rows[this.current].up;
      this.refold();
    }

    isHidden(n) {
      for (let up = this.rows[n].up; up !== null; up = this.rows[up].up) if (this.folded.has(up)) return true;
      return false;
    }

    reveal(n) {
      for (let up = this.rows[n].up; up !== null; up = this.rows[up].up) this.folded.delete(up);
      this.refold();
      this.choose(n);
    }

    key(event) {
      if (event.altKey || event.ctrlKey || event.metaKey || this.current === null) return;
      const position = this.place.get(this.current);
      const row = this.rows[this.current];
      const page = Math.max(1, Math.floor(this.scroll.clientHeight / this.height) - 1);
      const to = (p) => this.choose(this.list[Math.min(this.list.length - 1, Math.max(0, p))]);
      const actions = {
        ArrowDown: () => to(position + 1),
        ArrowUp: () => to(position - 1),
        PageDown: () => to(position + page),
        PageUp: () => to(position - page),
        Home: () => to(0),
        End: () => to(this.list.length - 1),
        ArrowRight: () => {
          if (!this.below[this.current].length) return;
          if (this.folded.has(this.current)) this.fold(this.current, false);
          else to(position + 1);
        },
        ArrowLeft: () => {
          if (this.below[this.current].length && !this.folded.has(this.current)) this.fold(this.current, true);
          else if (row.up !== null) this.choose(row.up);
        },
        Enter: () => (this.opened === this.current ? this.close() : this.open(this.current)),
        " ": () => (this.opened === this.current ? this.close() : this.open(this.current)),
        Escape: () => this.close(),
        f: () => row.fed && this.reveal(row.fed[row.fed.length - 1][0]),
        c: () => this.nextOnPath(1),
        C: () => this.nextOnPath(-1),
        "+": () => this.view.zoom(0.6, (row.at[0] + row.at[1]) / 2),
        "=": () => this.view.zoom(0.6, (row.at[0] + row.at[1]) / 2),
        "-": () => this.view.zoom(1.6),
        0: () => this.view.reset(),
        ",": () => this.view.pan(-0.2),
        ".": () => this.view.pan(0.2),
        "?": () => this.help(),
      };
      const action = actions[event.key];
      if (!action) return;
      event.preventDefault();
      this.tip.hidden = true;
      action();
    }

    nextOnPath(direction) {
      const onPath = [...this.rows.keys()].filter((n) => this.rows[n].path && this.rows[n].kind !== "run");
      onPath.sort((a, b) => this.rows[a].path[0][0] - this.rows[b].path[0][0] || a - b);
      if (!onPath.length) return;
      const now = onPath.indexOf(this.current);
      this.reveal(onPath[now < 0 ? 0 : (now + direction + onPath.length) % onPath.length]);
    }

    rowAt(event) {
      const drawn = event.target.closest && event.target.closest(".row");
      return drawn ? Number(drawn.id.slice(drawn.id.lastIndexOf("-") + 1)) : null;
    }

    hover(event) {
      const n = this.rowAt(event);
      if (n === null || isNarrow()) {
        this.tip.hidden = true;
        return;
      }
      const row = this.rows[n];
      this.tip.textContent = "";
      const head = element("div");
      head.append(element("b", "", row.label));
      if (row.item && row.item !== row.label) head.append(` ${row.item}`);
      this.tip.append(head, element("p", "", `${seconds(row.at[1] - row.at[0])}, from ${seconds(row.at[0])} to ${seconds(row.at[1])}`));
      if (row.ticks) this.tip.append(element("p", "", `${row.emitted} partial outputs, the first after ${seconds(row.ticks[0] - row.at[0])}`));
      for (const text of row.why || []) this.tip.append(element("p", "why", text));
      this.tip.hidden = false;
      const box = this.tip.getBoundingClientRect();
      const left = Math.min(event.clientX + 14, window.innerWidth - box.width - 10);
      const below = event.clientY + 18;
      const top = below + box.height > window.innerHeight - 6 ? event.clientY - box.height - 12 : below;
      this.tip.style.left = `${Math.max(6, left)}px`;
      this.tip.style.top = `${Math.max(6, top)}px`;
    }

    open(n) {
      const row = this.rows[n];
      this.opened = n;
      this.detail.textContent = "";
      const head = element("header");
      head.append(element("h3", "", row.item && row.item !== row.label ? `${row.label} \u00B7 ${row.item}` : row.label), button("Close", "Close the details", () => this.close()));
      this.detail.append(head);
      for (const text of row.why || []) this.detail.append(element("p", "", text));
      if (row.ancestry) this.detail.append(element("p", "path", row.ancestry));
      const list = element("dl");
      const pairs = [
        ["start", seconds(row.at[0])],
        ["length", seconds(row.at[1] - row.at[0])],
      ];
      if (row.ticks) pairs.push(["partial outputs", String(row.emitted)]);
      for (const [name, text] of pairs.concat(row.details || [])) list.append(element("dt", "", name), element("dd", "", text));
      this.detail.append(list);
      this.detail.hidden = false;
      this.detail.scrollTop = 0;
      this.frame.classList.add("opened");
      this.detail.scrollIntoView({ block: "nearest" });
      this.bringIntoSight(n);
      this.draw(false);
    }

    close() {
      const inside = this.detail.contains(document.activeElement);
      this.opened = null;
      this.detail.hidden = true;
      this.frame.classList.remove("opened");
      this.draw(false);
      if (inside) this.scroll.focus();
    }
  }

  const LEGEND = [
    ["task", "swatch", ["bar"]],
    ["ran ahead", "swatch ahead", ["bar"]],
    ["discarded", "swatch lost", ["bar"]],
    ["partial output", "swatch", ["bar", "tick"]],
    ["producer still ran", "swatch ahead", ["bar", "over"]],
    ["waiting", "swatch", ["wait"]],
    ["critical path", "swatch", ["mark"]],
  ];

  const KEYS = [
    ["\u2191 \u2193", "the row above, below"],
    ["\u2190 \u2192", "fold, unfold, go out, go in"],
    ["Enter", "details; Esc closes them"],
    ["f", "go to what fed this task"],
    ["c  C", "next, previous on the critical path"],
    ["+  \u2212  0", "zoom in, out, everything"],
    [",  .", "earlier, later"],
    ["Ctrl + wheel", "zoom; Shift + wheel moves"],
  ];

  function legend() {
    const list = element("ul", "legend");
    for (const [text, className, pieces] of LEGEND) {
      const entry = element("li");
      const swatch = element("span", className);
      for (const piece of pieces) {
        const made = element("span", piece);
        if (piece === "tick") made.style.left = "50%";
        swatch.append(made);
      }
      swatch.setAttribute("aria-hidden", "true");
      entry.append(swatch, text);
      list.append(entry);
    }
    return list;
  }

  function helpDialog() {
    const dialog = element("dialog");
    dialog.setAttribute("aria-label", "Keys");
    const list = element("dl");
    for (const [keys, what] of KEYS) {
      const term = element("dt");
      term.append(element("kbd", "", keys));
      list.append(term, element("dd", "", what));
    }
    dialog.append(element("h3", "", "Keys"), list, button("Close", "Close the list of keys", () => dialog.close()));
    return dialog;
  }

  function fill(section, first) {
    if (section.dataset.filled) return;
    section.dataset.filled = "yes";
    const data = JSON.parse(section.querySelector('script[type="application/json"]').textContent);
    const view = new View(Math.max(0, ...data.flows.map((flow) => flow.length)));
    const dialog = helpDialog();
    const help = () => dialog.showModal();
    const panels = data.flows.map((flow, n) => new Panel(flow, view, first + n, help));
    view.panels = panels;
    const tools = element("div", "tools");
    tools.append(
      legend(),
      button("\u2212", "Zoom out", () => view.zoom(1.6)),
      button("+", "Zoom in", () => view.zoom(0.6)),
      button("All", "Show the whole time", () => view.reset()),
      button("Fold", "Fold all rows", () => panels.forEach((panel) => panel.foldAll(true))),
      button("Unfold", "Unfold all rows", () => panels.forEach((panel) => panel.foldAll(false))),
      button("?", "Show the keys", help),
    );
    section.append(tools, ...panels.map((panel) => panel.root), dialog);
    for (const panel of panels) {
      panel.root.classList.toggle("together", panels.length > 1);
      panel.refold();
    }
  }

  const start = () => document.querySelectorAll(".alto-flow").forEach((section, n) => fill(section, n * 100));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
