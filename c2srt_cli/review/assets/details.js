// One photograph: its tags, where in it they were seen, and which labels spoke for them.
class Details {
  // judge(label, verdict), choose(label), open(): what clicks do.
  constructor(box, data, verdicts, { judge, choose, open }) {
    Object.assign(this, { box, data, verdicts, judge, choose, open, parts: new Map() });
  }

  show(photo, label) {
    Object.assign(this, { photo, label });
    this.box.replaceChildren();
    if (!photo) return;
    const figure = element("figure"), picture = element("img"), name = element("p", photo.path);
    Object.assign(picture, { src: photo.thumbnail, alt: "", width: photo.small[0], height: photo.small[1] });
    figure.addEventListener("click", this.open);
    figure.append(picture);
    name.append(element("br"), `${photo.width} × ${photo.height}`);
    const list = element("ul"), why = element("div");
    const tags = photo.tags.some(tag => tag.label === label) || label === undefined ? photo.tags : [...photo.tags, { label }];
    list.append(...tags.map(tag => this.tag(tag)));
    this.box.append(figure, name, element("h3", photo.tags.length ? "Labels" : "No label is given"), list, why);
    this.reasons(photo, reasons => {
      const found = reasons?.find(([name]) => name === label);
      if (this.photo !== photo || this.label !== label || !found) return;
      if (found[1].length && this.data.grid && this.data.fit) figure.append(this.map(photo, found[1]));
      if (found[2].length) why.append(element("h3", `Labels that spoke for ${label}`), this.sources(found[2]));
    });
  }

  tag(tag) {
    const { label, score, probability, share } = tag, verdict = this.verdicts.get(label, this.photo);
    const row = element("li", undefined, `tag ${verdict ?? ""}`), bar = element("i");
    row.classList.toggle("chosen", label === this.label);
    if (probability != null) bar.append(element("b", undefined, "", { width: `${probability * 100}%` }));
    row.title = score === undefined ? "not given" : `score ${score.toFixed(3)}` + (share != null ? `, ${Math.round(share * 100)} % of the picture` : "");
    row.append(element("span", label), bar, element("span", number(tag), "number"));
    for (const one of ["yes", "no"]) {
      const button = element("button", one, one);
      button.addEventListener("click", event => { event.stopPropagation(); this.judge(label, one); });
      row.append(button);
    }
    row.addEventListener("click", () => this.choose(label));
    return row;
  }

  sources(found) {
    const list = element("ul");
    for (const [label, relation, attention] of found) {
      const row = element("li", undefined, "source");
      row.append(element("span", label, "", { textAlign: "left" }), element("em", relation.replace("_", "-")),
        element("b", undefined, "", { width: `${Math.min(1, attention) * 100}%` }), element("span", attention.toFixed(2)));
      list.append(row);
    }
    return list;
  }

  // What did not speak is darkened: on the square of the picture that the model was shown.
  map(photo, patches) {
    const [high, wide] = this.data.grid, canvas = element("canvas");
    Object.assign(canvas, { width: wide, height: high });
    const draw = canvas.getContext("2d");
    draw.fillStyle = "rgba(13, 22, 32, .66)";
    draw.fillRect(0, 0, wide, high);
    for (const [row, column] of patches) draw.clearRect(column, row, 1, 1);
    const { width, height } = photo, side = { crop: Math.min, pad: Math.max }[this.data.fit]?.(width, height);
    const [x, y] = side ? [side / width, side / height] : [1, 1];
    const percent = value => `${value * 100}%`;
    Object.assign(canvas.style, { left: percent((1 - x) / 2), top: percent((1 - y) / 2), width: percent(x), height: percent(y) });
    return canvas;
  }

  // Reasons lie in parts beside the page, each read when it is asked for.
  reasons(photo, then) {
    if (!this.data.part) return;
    const number = Math.floor(photo.number / this.data.part), place = photo.number % this.data.part;
    const known = this.parts.get(number);
    if (known?.loaded) { then(known.loaded[place]); return; }
    if (known) { known.waiting = [() => then(known.loaded[place])]; return; } // of those that are passed by, the last counts
    const part = { waiting: [() => then(part.loaded[place])] };
    this.parts.set(number, part);
    script(`reasons/${number}.js`, () => this.parts.delete(number));
  }

  take(number, loaded) {
    const part = this.parts.get(number);
    part.loaded = loaded;
    part.waiting.forEach(go => go());
  }
}

// One number that people understand, where there is one.
function number({ probability, score }) {
  return probability != null ? `${(probability * 100).toFixed(probability < 0.095 ? 1 : 0)} %` : score?.toFixed(3) ?? "";
}

function script(source, failed) {
  const made = element("script");
  made.src = source;
  made.addEventListener("error", failed);
  made.addEventListener("load", () => made.remove());
  document.head.append(made);
}
