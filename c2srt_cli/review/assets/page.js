// Called by data.js and by the files of reasons, which lie beside the page.
let page;
function review(data) { page = new Page(data); }
function reasons(number, part) { page.details.take(number, part); }

const get = id => document.getElementById(id);
const MOST = 500; // labels in the list at once

class Page {
  constructor(data) {
    this.data = data;
    const base = new URL(data.root, location.href);
    this.photos = data.photographs.map(([path, sha256, width, height], i) => {
      const scale = 384 / Math.max(width, height);
      return {
        number: i, path, sha256, width, height, tags: [],
        name: path.slice(path.lastIndexOf("/") + 1),
        thumbnail: `c2srt-thumbs/${sha256.slice(0, 2)}/${sha256.slice(0, 32)}.jpg`,
        small: [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))],
        get original() { return new URL(path.split("/").map(encodeURIComponent).join("/"), base).href; },
      };
    });
    this.lists = data.labels.map((label, i) => {
      const given = data.given[i].map(([photo, score, probability, share]) => ({ label, photo: this.photos[photo], score, probability, share }));
      given.forEach(tag => tag.photo.tags.push(tag));
      const others = data.others[i].map(([photo, score]) => ({ label, photo: this.photos[photo], score }));
      return { label, given, others };
    });
    for (const photo of this.photos) photo.tags.sort((a, b) => (b.probability ?? b.score) - (a.probability ?? a.score));
    this.index = new Map(data.labels.map((label, i) => [label, i]));
    this.verdicts = new Verdicts(data.id);
    this.history = [];
    this.grid = new Grid(get("grid"), (tile, item) => this.tile(tile, item), index => this.move(index), () => this.large());
    this.details = new Details(get("details"), data, this.verdicts, {
      judge: (label, verdict) => this.judge(label, verdict),
      choose: label => this.choose(label),
      open: () => this.large(),
    });
    document.title = `${data.title}: review`;
    document.querySelector("h1").textContent = data.title;
    get("size").textContent = `${count(this.photos.length, "photograph")}, ${count(this.lists.length, "label")}`;
    this.listen();
    this.read();
  }

  listen() {
    addEventListener("hashchange", () => this.follow());
    document.addEventListener("keydown", event => this.key(event));
    get("find").addEventListener("input", () => this.list());
    get("find").addEventListener("keydown", event => {
      if (event.key !== "Enter") return;
      const first = this.found()[0];
      if (first) this.go(first.label);
      get("grid").focus();
    });
    for (const id of ["which", "path"]) get(id).addEventListener("input", () => this.show());
    get("save").addEventListener("click", () => this.save());
    get("load").addEventListener("change", async event => {
      const [file] = event.target.files;
      event.target.value = "";
      try {
        const { count: taken, kept } = this.verdicts.load(await file.text());
        this.say(`${count(taken, "verdict")} loaded`, kept);
      } catch (error) {
        this.say(`${file.name}: ${error.message}`, false);
      }
      this.show(this.grid.cursor);
    });
  }

  follow() {
    if (location.hash !== this.address) this.read();
  }

  // The address says which label is chosen: "#" and its name; without one all photographs are shown.
  read() {
    this.address = location.hash;
    let name = this.address.slice(1);
    try { name = decodeURIComponent(name); } catch { /* not ours: looked up as it stands */ }
    this.chosen = this.index.has(name) ? name : undefined;
    this.tag = undefined;
    get("grid").focus();
    this.show();
  }

  go(label) {
    location.hash = label === undefined ? "" : "#" + encodeURIComponent(label);
    this.follow(); // the browser says so later, and the next key is meant for what is shown then
  }

  get item() { return this.grid.items[this.grid.cursor]; }

  // The label that a verdict is about.
  get subject() { return this.chosen ?? this.tag; }

  show(cursor = 0) {
    const whole = this.chosen === undefined, which = get("which").value, path = get("path").value.toLowerCase();
    const fits = ({ photo, label }) => {
      if (path && !photo.path.toLowerCase().includes(path)) return false;
      if (!which) return true;
      const said = whole ? photo.tags.map(tag => this.verdicts.get(tag.label, photo)) : [this.verdicts.get(label, photo)];
      return which === "open" ? (whole && !said.length) || said.includes(undefined) : said.includes(which);
    };
    let items, line = null;
    if (whole) items = this.photos.map(photo => ({ photo })).filter(fits);
    else {
      const { given, others } = this.lists[this.index.get(this.chosen)], above = given.filter(fits);
      items = [...above, ...others.filter(fits)];
      line = { before: above.length, text: this.line(others.length) };
    }
    document.body.classList.toggle("whole", whole);
    document.querySelector("h2").textContent = this.chosen ?? "All photographs";
    get("jk").textContent = whole ? "tags" : "labels";
    this.grid.show(items, line, cursor);
    this.list();
    this.look();
  }

  line(others) {
    const { rule } = this.data, below = others ? "below it the best others" : "others were not kept (c2srt tag --all-scores keeps them)";
    if (!rule) return `given above; ${below}`;
    if (rule.threshold != null) return `given from ${Math.round(rule.threshold * 100)} % on; ${below}`;
    if (rule.top_k != null) return `given above, ${count(rule.top_k, "label")} a photograph; ${below}`;
    return `given above; ${below}`;
  }

  // What depends on the photograph and label that are looked at, and on verdicts.
  look() {
    const { item } = this;
    if (this.chosen === undefined) {
      const tags = item?.photo.tags ?? [];
      if (!tags.some(tag => tag.label === this.tag)) this.tag = tags[0]?.label;
    }
    this.details.show(item?.photo, this.subject);
    const total = this.verdicts.total, { items, line } = this.grid, here = line ? this.verdicts.count(this.chosen) : 0;
    get("judged").textContent = [
      ...(line ? [`${line.before.toLocaleString("en")} given`, count(items.length - line.before, "other")] : [count(items.length, "photograph")]),
      ...(here ? [count(here, "verdict")] : []),
    ].join(", ");
    get("save").textContent = total ? `Save ${count(total, "correction")}` : "Save corrections";
  }

  found() {
    const wanted = get("find").value.trim().toLowerCase();
    return wanted ? this.lists.filter(({ label }) => label.toLowerCase().includes(wanted)) : this.lists;
  }

  list() {
    const found = this.found(), box = get("labels");
    const entry = (text, number, label, name) => {
      const made = element("a", undefined, name);
      made.href = label === undefined ? "#" : "#" + encodeURIComponent(label);
      made.classList.toggle("chosen", label === this.chosen);
      made.append(element("span", text), element("span", number));
      return made;
    };
    box.replaceChildren(
      entry("All photographs", this.photos.length.toLocaleString("en"), undefined, "all"),
      ...found.slice(0, MOST).map(({ label, given }) => {
        const judged = this.verdicts.count(label);
        return entry(label, `${judged ? `${judged}✓ ` : ""}${given.length.toLocaleString("en")}`, label, given.length ? "" : "empty");
      }),
    );
    if (found.length > MOST) box.append(element("p", `and ${(found.length - MOST).toLocaleString("en")} more: find them by their names`));
    if (!found.length) box.append(element("p", "no such label"));
    box.querySelector(".chosen")?.scrollIntoView({ block: "nearest" });
  }

  tile(tile, item) {
    const { photo } = item, whole = this.chosen === undefined, picture = element("img"), row = element("div");
    Object.assign(picture, { alt: "", decoding: "async", draggable: false, src: photo.thumbnail });
    tile.title = photo.path;
    row.append(element("span", photo.name), element("span", whole ? String(photo.tags.length) : number(item)));
    tile.append(picture, row);
    const verdict = whole ? undefined : this.verdicts.get(item.label, photo);
    if (verdict) tile.classList.add(verdict);
  }

  move(index) {
    this.grid.move(index);
    this.look();
  }

  choose(label) {
    if (this.chosen === undefined) { this.tag = label; this.look(); } else if (this.index.has(label)) this.go(label);
  }

  judge(label, verdict, index = this.grid.cursor) {
    const photo = this.grid.items[index]?.photo;
    if (!photo || label === undefined) return;
    this.history.push([label, photo, this.verdicts.get(label, photo)]);
    this.write(label, photo, verdict);
  }

  write(label, photo, verdict) {
    const kept = this.verdicts.set(label, photo, verdict);
    if (kept) this.say(verdict ? `${verdict}: ${label}` : `taken back: ${label}`, true);
    else this.say("The browser keeps no more verdicts: save them now", false);
    this.grid.items.forEach((item, i) => { if (item.photo.sha256 === photo.sha256) this.grid.redraw(i); });
    const place = this.found().slice(0, MOST).findIndex(one => one.label === label), entry = get("labels").children[place + 1];
    const judged = this.verdicts.count(label), given = this.lists[this.index.get(label)]?.given.length ?? 0;
    if (place >= 0) entry.lastElementChild.textContent = `${judged ? `${judged}✓ ` : ""}${given.toLocaleString("en")}`;
    this.look();
  }

  undo() {
    const last = this.history.pop();
    if (!last) return;
    this.write(...last);
    const index = this.grid.items.findIndex(item => item.photo === last[1]);
    if (this.chosen === undefined) this.tag = last[0];
    if (index >= 0) this.move(index);
  }

  // After a verdict: the next photograph of the label, or the next tag of the photograph, then the next photograph.
  next() {
    if (this.chosen === undefined) {
      const tags = this.item?.photo.tags ?? [], place = tags.findIndex(tag => tag.label === this.tag);
      if (place + 1 < tags.length) { this.tag = tags[place + 1].label; this.look(); return; }
      this.tag = undefined;
    }
    this.move(this.grid.cursor + 1);
  }

  // The label or tag that many places on.
  turn(by) {
    if (this.chosen !== undefined) {
      const found = this.found(), place = found.findIndex(({ label }) => label === this.chosen) + by;
      if (found[place]) this.go(found[place].label);
      return;
    }
    const tags = this.item?.photo.tags ?? [], place = tags.findIndex(tag => tag.label === this.tag) + by;
    if (tags[place]) { this.tag = tags[place].label; this.look(); }
  }

  key(event) {
    const typing = event.target.closest?.("input, select"), { key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector(".pswp")) return;
    if (typing) { if (key === "Escape") get("grid").focus(); return; }
    const keys = {
      y: () => { this.judge(this.subject, "yes"); this.next(); },
      n: () => { this.judge(this.subject, "no"); this.next(); },
      u: () => this.undo(),
      " ": () => this.next(),
      ArrowRight: () => this.move(this.grid.cursor + 1),
      ArrowLeft: () => this.move(this.grid.cursor - 1),
      ArrowDown: () => this.move(this.grid.beside(1)),
      ArrowUp: () => this.move(this.grid.beside(-1)),
      Home: () => this.move(0),
      End: () => this.move(this.grid.items.length - 1),
      j: () => this.turn(1),
      k: () => this.turn(-1),
      a: () => this.go(undefined),
      "/": () => get("find").focus(),
      Enter: () => this.large(),
    };
    if (!keys[key] || (key === "Enter" && event.target.closest?.("a, button, label"))) return;
    event.preventDefault();
    keys[key]();
  }

  large() {
    if (!this.item) return;
    const photos = this.grid.items.map(item => item.photo), label = () => this.subject;
    lightbox(photos, this.grid.cursor, {
      caption: photo => [[photo.path, label(), this.verdicts.get(label(), photo)].filter(Boolean).join(" · "), this.verdicts.get(label(), photo)],
      key: (name, index) => {
        this.move(index);
        if (name === "u") this.undo(); else this.judge(this.subject, name === "y" ? "yes" : "no", index);
      },
      closed: index => { this.move(index); get("grid").focus(); },
    });
  }

  save() {
    const link = element("a"), address = URL.createObjectURL(new Blob([this.verdicts.text()], { type: "application/x-ndjson" }));
    Object.assign(link, { href: address, download: "corrections.jsonl" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
    this.say(`${count(this.verdicts.total, "correction")} saved`, true);
  }

  say(text, good) {
    get("message").textContent = text;
    get("message").className = good ? "" : "bad";
  }
}

function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

script("data.js", () => document.body.prepend(element("p", "data.js is missing beside this page: make it again with c2srt review.")));
