// Runs in an isolated world of every frame: the page's own scripts see neither it nor what it calls.
// Tells of each picture that may be a code as soon as the page shows it, as PNG or as the page's own data: URL.
({ tell, autostart, every, seldom }) => {
  const SQUARE = 0.75; // a code is about as wide as it is high
  const MOST = 1600; // pixels
  const PRINT = 64; // pixels of a canvas looked at for a change: about one in each module
  const ATTRIBUTES = ["src", "srcset", "href", "d", "x", "y", "width", "height", "fill", "points", "transform"];

  const say = globalThis[tell];
  const told = new WeakMap(); // element -> the picture last told of it
  const prints = new Map(); // canvas -> what it looked like when last sampled
  const unreadable = new Set(); // only a screenshot shows what they are
  let over = false;

  const pen = (width, height) => {
    const sheet = document.createElement("canvas"); // never attached
    [sheet.width, sheet.height] = [width, height];
    return sheet.getContext("2d", { willReadFrequently: true });
  };
  const thumb = pen(PRINT, PRINT);
  thumb.imageSmoothingEnabled = false;

  const squarish = (width, height) =>
    Math.min(width, height) >= 21 && Math.min(width, height) / Math.max(width, height) >= SQUARE;

  // On white: modules may be all that is painted.
  const drawn = (width, height, draw) => {
    const scale = Math.min(1, MOST / Math.max(width, height));
    const to = pen(Math.round(width * scale), Math.round(height * scale));
    to.fillStyle = "white";
    to.fillRect(0, 0, to.canvas.width, to.canvas.height);
    to.scale(scale, scale);
    draw(to);
    return to.canvas.toDataURL();
  };

  const ofImage = (image) => {
    if (/^data:image\/png;base64,/.test(image.src)) return image.src; // before it is even loaded
    const { naturalWidth: width, naturalHeight: height } = image;
    if (!image.complete || !squarish(width, height)) return null;
    return drawn(width, height, (to) => to.drawImage(image, 0, 0, width, height));
  };

  const ofCanvas = (canvas) => {
    const { width, height } = canvas;
    if (!squarish(width, height)) return null;
    if (Math.max(width, height) <= MOST) return canvas.toDataURL();
    return drawn(width, height, (to) => to.drawImage(canvas, 0, 0));
  };

  const outline = (shape) => {
    const length = (name) => shape[name].baseVal.value;
    if (shape.localName === "path") return new Path2D(shape.getAttribute("d") ?? "");
    if (shape.localName === "polygon") return new Path2D(`M${shape.getAttribute("points")}Z`);
    const path = new Path2D();
    if (shape.localName === "rect") path.rect(length("x"), length("y"), length("width"), length("height"));
    else if (shape.localName === "circle") path.arc(length("cx"), length("cy"), length("r"), 0, 7);
    else throw new TypeError(shape.localName);
    return path;
  };

  // Painted shape by shape: loading it as an image would be up to the page's policy, and seen by it.
  const ofSvg = (svg) => {
    const { width, height } = svg.getBoundingClientRect();
    if (!squarish(width, height)) return null;
    return drawn(width, height, (to) => {
      const base = to.getTransform();
      for (const shape of svg.querySelectorAll("*")) {
        if (["g", "title", "desc", "defs", "style", "metadata"].includes(shape.localName)) continue;
        const path = outline(shape);
        const style = getComputedStyle(shape);
        to.setTransform(base.multiply(DOMMatrix.fromMatrix(shape.getCTM())));
        if (style.fill !== "none") {
          to.fillStyle = style.fill;
          to.fill(path, style.fillRule);
        }
        if (style.stroke !== "none") {
          to.strokeStyle = style.stroke;
          to.lineWidth = parseFloat(style.strokeWidth);
          to.stroke(path);
        }
      }
    });
  };

  const read = (element) => {
    if (element instanceof HTMLImageElement) return ofImage(element);
    if (element instanceof HTMLCanvasElement) return ofCanvas(element);
    return ofSvg(element);
  };

  const look = (element) => {
    const at = Date.now();
    const link = (autostart && document.querySelector(autostart)?.href) || null;
    let picture;
    try {
      picture = read(element);
    } catch {
      // Tainted by another origin, or drawn with more than plain shapes.
      unreadable.add(element);
      say(JSON.stringify({ at, link, unreadable: [...unreadable].indexOf(element) }));
      return;
    }
    if (picture === null || told.get(element) === picture) return;
    told.set(element, picture);
    say(JSON.stringify({ at, link, picture }));
  };

  const changed = (canvas) => {
    try {
      thumb.clearRect(0, 0, PRINT, PRINT);
      thumb.drawImage(canvas, 0, 0, PRINT, PRINT);
      const seen = new Uint32Array(thumb.getImageData(0, 0, PRINT, PRINT).data.buffer);
      const before = prints.get(canvas);
      prints.set(canvas, seen);
      return !before || seen.some((pixel, place) => pixel !== before[place]);
    } catch {
      return true;
    }
  };

  // Not by a timer: its number would show the page that one exists.
  const pause = (delay) => scheduler.postTask(() => {}, { delay });

  // A capture of a canvas has a frame whenever something was drawn, and else none; null where it cannot be captured.
  const framesOf = (canvas) => {
    try {
      const [track] = canvas.captureStream().getVideoTracks();
      return new MediaStreamTrackProcessor({ track, maxBufferSize: 1 }).readable.getReader();
    } catch {
      return null;
    }
  };

  const drawing = async (frames) => {
    const { value, done } = await frames.read();
    value?.close();
    return done;
  };

  // A canvas that another origin's picture was drawn on is captured no more: so it is sampled, too, if seldom.
  const follow = async (canvas) => {
    let frames = framesOf(canvas);
    let frame = frames && drawing(frames);
    while (!over && canvas.isConnected) {
      if (changed(canvas)) look(canvas);
      await pause(every);
      const done = frame && (await Promise.race([frame, pause(seldom)]));
      if (done) frames = frame = null;
      else if (done === false) frame = drawing(frames);
    }
    prints.delete(canvas);
    frames?.cancel();
  };

  const found = (element) => {
    if (element instanceof HTMLCanvasElement && !prints.has(element)) {
      prints.set(element, null);
      follow(element);
    } else look(element);
  };

  const KINDS = "img, canvas, svg:not(svg svg)";
  const within = (node) => {
    if (!(node instanceof Element)) return [];
    const around = node.closest(KINDS);
    return around ? [around] : node.querySelectorAll(KINDS);
  };

  const observer = new MutationObserver((records) => {
    const touched = new Set();
    for (const { type, target, addedNodes, removedNodes } of records) {
      const nodes = type === "childList" ? [...addedNodes] : [target];
      if (target instanceof SVGElement && removedNodes.length) nodes.push(target);
      for (const node of nodes) for (const element of within(node)) touched.add(element);
    }
    touched.forEach(found);
  });
  observer.observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ATTRIBUTES });

  const loaded = ({ target }) => target instanceof HTMLImageElement && look(target);
  document.addEventListener("load", loaded, true);

  globalThis.unreadable = (place) => [...unreadable][place];
  globalThis.leave = () => {
    over = true;
    observer.disconnect();
    document.removeEventListener("load", loaded, true);
  };
  say("{}");
  document.querySelectorAll(KINDS).forEach(found);
}
