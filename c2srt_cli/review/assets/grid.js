// Text never becomes markup.
function element(tag, text, name, style) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  Object.assign(made.style, style);
  return made;
}

// Photographs in rows, of which only those in sight are in the document.
class Grid {
  static WIDE = 176;
  static HIGH = 202;
  static GAP = 8;
  static LINE = 44;

  // draw(tile, item): fills an empty tile. choose(index), open(index): what clicks do.
  constructor(box, draw, choose, open) {
    Object.assign(this, { box, draw, items: [], line: null, tiles: new Map(), cursor: 0 });
    this.page = box.firstElementChild;
    box.addEventListener("scroll", () => this.later(), { passive: true });
    new ResizeObserver(() => { this.place(); this.reveal(); }).observe(box);
    box.addEventListener("click", event => {
      const tile = event.target.closest(".tile");
      if (tile) choose(tile.index);
    });
    box.addEventListener("dblclick", event => { if (event.target.closest(".tile")) open(); });
  }

  // line: { before: how many items stand above it, text }, or null.
  show(items, line, cursor) {
    Object.assign(this, { items, line, cursor: Math.max(0, Math.min(cursor, items.length - 1)) });
    this.box.scrollTop = 0;
    this.place();
    this.reveal();
  }

  place() {
    const cell = Grid.WIDE + Grid.GAP;
    this.columns = Math.max(1, Math.floor((this.box.clientWidth - Grid.GAP) / cell));
    this.left = Math.floor((this.box.clientWidth - this.columns * cell + Grid.GAP) / 2);
    const above = this.line ? this.line.before : this.items.length;
    this.split = Math.ceil(above / this.columns); // rows above the line
    const rows = this.split + Math.ceil((this.items.length - above) / this.columns);
    this.page.style.height = `${Grid.GAP + rows * (Grid.HIGH + Grid.GAP) + (this.line ? Grid.LINE : 0)}px`;
    this.clear();
    if (this.line) this.page.append(element("div", this.line.text, "line", { top: `${this.top(this.split) - Grid.LINE}px` }));
    if (!this.items.length) this.page.append(element("div", "Nothing to show here.", "none"));
    this.render();
  }

  clear() {
    this.tiles.clear();
    this.page.replaceChildren();
  }

  row(index) {
    const above = this.line ? this.line.before : this.items.length;
    return index < above ? Math.floor(index / this.columns) : this.split + Math.floor((index - above) / this.columns);
  }

  column(index) {
    return (this.line && index >= this.line.before ? index - this.line.before : index) % this.columns;
  }

  top(row) {
    return Grid.GAP + row * (Grid.HIGH + Grid.GAP) + (this.line && row >= this.split ? Grid.LINE : 0);
  }

  // The first item of a row, or of the next one that there is.
  first(row) {
    const above = this.line ? this.line.before : this.items.length;
    return row < this.split ? row * this.columns : above + (row - this.split) * this.columns;
  }

  later() {
    this.waiting ??= requestAnimationFrame(() => { this.waiting = undefined; this.render(); });
  }

  render() {
    const high = Grid.HIGH + Grid.GAP, from = this.box.scrollTop, to = from + this.box.clientHeight;
    const start = this.first(Math.max(0, Math.floor((from - Grid.LINE) / high) - 1)), end = this.first(Math.ceil(to / high) + 1);
    for (const [index, tile] of this.tiles) {
      if (index < start || index >= end) { tile.remove(); this.tiles.delete(index); }
    }
    const made = document.createDocumentFragment();
    for (let index = start; index < Math.min(end, this.items.length); index++) {
      if (this.tiles.has(index)) continue;
      const tile = element("div", undefined, "tile");
      tile.index = index;
      tile.style.transform = `translate(${this.left + this.column(index) * (Grid.WIDE + Grid.GAP)}px, ${this.top(this.row(index))}px)`;
      this.draw(tile, this.items[index]);
      tile.classList.toggle("cursor", index === this.cursor);
      this.tiles.set(index, tile);
      made.append(tile);
    }
    this.page.append(made);
  }

  redraw(index) {
    const tile = this.tiles.get(index);
    if (!tile) return;
    tile.className = "tile";
    tile.replaceChildren();
    this.draw(tile, this.items[index]);
    tile.classList.toggle("cursor", index === this.cursor);
  }

  move(index) {
    this.tiles.get(this.cursor)?.classList.remove("cursor");
    this.cursor = Math.max(0, Math.min(index, this.items.length - 1));
    this.tiles.get(this.cursor)?.classList.add("cursor");
    this.reveal();
  }

  // The item above or below, also across the line.
  beside(rows) {
    const row = this.row(this.cursor) + rows;
    if (row < 0) return this.cursor;
    const first = this.first(row), above = this.line ? this.line.before : this.items.length;
    const last = (row < this.split ? Math.min(above, first + this.columns) : Math.min(this.items.length, first + this.columns)) - 1;
    return last < first ? this.cursor : Math.min(first + this.column(this.cursor), last);
  }

  reveal() {
    if (!this.items.length) return;
    const top = this.top(this.row(this.cursor)), bottom = top + Grid.HIGH;
    if (top - Grid.GAP < this.box.scrollTop) this.box.scrollTop = top - Grid.GAP;
    else if (bottom + Grid.GAP > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = bottom + Grid.GAP - this.box.clientHeight;
  }
}
