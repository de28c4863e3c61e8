// What people have said: kept in the browser's storage, an entry a label, so that one verdict writes little.
class Verdicts {
  constructor(id) {
    this.start = `c2srt-review:${id}:`;
    this.labels = new Map(); // label -> sha256 of a photograph -> [verdict, path]
    try {
      for (let i = 0; i < localStorage.length; i++) {
        const key = localStorage.key(i);
        if (!key.startsWith(this.start)) continue;
        const kept = JSON.parse(localStorage.getItem(key));
        this.labels.set(key.slice(this.start.length), new Map(Object.entries(kept)));
      }
    } catch { /* without storage verdicts last as long as the page: set says so */ }
  }

  get(label, photo) {
    return this.labels.get(label)?.get(photo.sha256)?.[0];
  }

  // Returns whether it will be there when the page is opened again.
  set(label, photo, verdict) {
    if (!this.labels.has(label)) this.labels.set(label, new Map());
    const entries = this.labels.get(label);
    if (verdict) entries.set(photo.sha256, [verdict, photo.path]); else entries.delete(photo.sha256);
    return this.keep(label);
  }

  keep(label) {
    const entries = this.labels.get(label);
    try {
      if (entries.size) localStorage.setItem(this.start + label, JSON.stringify(Object.fromEntries(entries)));
      else localStorage.removeItem(this.start + label);
      return true;
    } catch {
      return false;
    }
  }

  count(label) {
    return this.labels.get(label)?.size ?? 0;
  }

  get total() {
    return [...this.labels.values()].reduce((sum, entries) => sum + entries.size, 0);
  }

  // One line a verdict, by label and path: the same verdicts always make the same file.
  text() {
    const lines = [];
    for (const label of [...this.labels.keys()].sort()) {
      const rows = [...this.labels.get(label)].sort(([, [, a]], [, [, b]]) => (a < b ? -1 : a > b ? 1 : 0));
      for (const [sha256, [verdict, path]] of rows) lines.push(JSON.stringify({ path, sha256, label, verdict }) + "\n");
    }
    // what other programs take for the end of a line, or of a text, is escaped
    return lines.join("").replace(/[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
      letter => "\\u" + letter.charCodeAt(0).toString(16).padStart(4, "0"));
  }

  // Takes what `text` has written; later lines and what is loaded go before what is there. Returns the verdicts taken,
  // or throws with the line that is none.
  load(text) {
    const rows = text.split("\n").map((line, i) => [line, i + 1]).filter(([line]) => line.trim()).map(([line, number]) => {
      let row;
      try { row = JSON.parse(line); } catch { row = null; }
      const known = row && typeof row.path === "string" && typeof row.label === "string" && row.label
        && /^[0-9a-f]{64}$/.test(row.sha256) && ["yes", "no"].includes(row.verdict);
      if (!known) throw new Error(`line ${number} is no correction`);
      return row;
    });
    for (const { path, sha256, label, verdict } of rows) {
      if (!this.labels.has(label)) this.labels.set(label, new Map());
      this.labels.get(label).set(sha256, [verdict, path]);
    }
    const kept = [...new Set(rows.map(row => row.label))].map(label => this.keep(label));
    return { count: rows.length, kept: kept.every(Boolean) };
  }
}
