// What browsers show; of others the thumbnail is enlarged.
const SHOWN = /\.(jpe?g|png|gif|webp|avif|bmp)$/i;

// The photographs themselves, one at a time, by PhotoSwipe.
// photos: in their order; caption(photo) -> [text, verdict]; key(name): a key of the page; closed(index).
function lightbox(photos, index, { caption, key, closed }) {
  const unreadable = new Set(), box = new PhotoSwipe({
    index, bgOpacity: 0.94, showHideAnimationType: "none", loop: false, wheelToZoom: true, preload: [1, 1],
    errorMsg: "This photograph cannot be shown.",
  });
  box.addFilter("numItems", () => photos.length);
  box.addFilter("itemData", (_, i) => {
    const { thumbnail, original, path, width, height } = photos[i];
    const own = SHOWN.test(path) && !unreadable.has(i);
    return { src: own ? original : thumbnail, msrc: thumbnail, width, height, alt: path };
  });
  box.on("loadError", ({ content }) => {
    if (unreadable.has(content.index)) return;
    unreadable.add(content.index); // its disk is not there
    setTimeout(() => box.refreshSlideContent(content.index));
  });
  const write = bar => {
    const [text, verdict] = caption(photos[box.currIndex]);
    bar.textContent = text;
    bar.className = `pswp__caption ${verdict ?? ""}`;
  };
  box.on("uiRegister", () => box.ui.registerElement({
    name: "caption", order: 9, isButton: false, appendTo: "root",
    onInit: bar => {
      box.on("change", () => write(bar));
      box.caption = () => write(bar);
    },
  }));
  box.on("keydown", event => {
    const name = event.originalEvent.key;
    if (!["y", "n", "u", " "].includes(name)) return;
    event.preventDefault();
    event.originalEvent.preventDefault();
    if (name !== " ") key(name, box.currIndex);
    box.caption();
    if (name !== "u") box.next();
  });
  box.on("close", () => closed(box.currIndex));
  box.init();
}
