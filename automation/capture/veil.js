// What a page shows without what it says: letters become x, digits 0, whatever is drawn a grey box. It cannot be undone.
(mark) => {
  const DRAWN = "img, picture, canvas, svg, video, audio, iframe, frame, object, embed, math";
  const MUTE = "script, style, link, meta, base, template, noscript";
  const KEPT = new Set(["class", "id", "role", "type", "for", "name", "disabled", "checked", "hidden", "open", "colspan",
    "rowspan", "aria-hidden", "aria-expanded", "aria-modal", "aria-invalid", "aria-selected"]);
  const shape = (text) => text.replace(/\p{L}/gu, "x").replace(/\p{N}/gu, "0");

  const box = (element) => {
    const { width, height } = element.getBoundingClientRect();
    const grey = document.createElement("div");
    grey.style.cssText = `display:inline-block;width:${width}px;height:${height}px;background:#8a8a8a`;
    element.replaceWith(grey);
  };

  const strip = (element) => {
    if ("value" in element && element.tagName !== "LI") element.value = "";
    if (element.isContentEditable) element.textContent = shape(element.textContent);
    for (const { name, value } of [...element.attributes]) {
      if (!KEPT.has(name)) element.removeAttribute(name);
      else element.setAttribute(name, value.replace(/\p{N}/gu, "0"));
    }
  };

  const veil = (root) => {
    const unseen = (element) => element.tagName.includes("-") && !element.shadowRoot && customElements.get(element.localName);
    for (const element of [...root.querySelectorAll("*")]) if (element.matches(DRAWN) || unseen(element)) box(element);
    for (const element of root.querySelectorAll("*")) {
      if (element.shadowRoot) veil(element.shadowRoot);
      if (!element.matches(MUTE) && element.style.background !== "rgb(138, 138, 138)") strip(element);
    }
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_COMMENT);
    while (texts.nextNode()) {
      const node = texts.currentNode;
      if (node.nodeType === Node.COMMENT_NODE) node.data = "";
      else if (!node.parentElement?.matches(MUTE)) node.data = shape(node.data);
    }
  };

  veil(document);
  document.title = "";
  document.documentElement.setAttribute("data-veiled", mark);
}
