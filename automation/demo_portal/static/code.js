// Draws the order's code as it comes, in the way that the page says, and tells where the order stands.

const place = document.querySelector(".qrcode");
const status = document.querySelector("[role=status]");
const link = document.querySelector("a.autostart");
const MODULE = 6;

const dark = function* ({ size, modules }) {
  for (let at = 0; at < modules.length; at++) if (modules[at] === "1") yield [at % size, Math.floor(at / size)];
};

const draw = (canvas, code) => {
  if (canvas.width !== code.size * MODULE) canvas.width = canvas.height = code.size * MODULE;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = "#000";
  for (const [x, y] of dark(code)) pen.fillRect(x * MODULE, y * MODULE, MODULE, MODULE);
  return canvas;
};

const svg = (code) => {
  const element = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const drawn = element("svg", { viewBox: `0 0 ${code.size} ${code.size}` });
  const path = [...dark(code)].map(([x, y]) => `M${x} ${y}h1v1h-1z`).join("");
  drawn.append(element("path", { d: path, fill: "#000" }));
  return drawn;
};

const fresh = () => document.createElement("canvas");
const only = (name) => {
  const there = place.querySelector(name);
  if (there) return there;
  place.replaceChildren(document.createElement(name));
  return place.firstChild;
};

const layouts = {
  canvas: (code) => draw(only("canvas"), code),
  frozen: (code) => draw(only("canvas"), code),
  blank: () => only("canvas"),
  "canvas-replaced": (code) => place.replaceChildren(draw(fresh(), code)),
  img: (code) => (only("img").src = draw(fresh(), code).toDataURL()),
  svg: (code) => place.replaceChildren(svg(code)),
};

const source = new EventSource(document.body.dataset.events);
source.onmessage = ({ data }) => {
  const order = JSON.parse(data);
  if (status) status.textContent = order.message;
  if (link) {
    link.hidden = !order.autostart;
    if (order.autostart) link.href = order.autostart;
  }
  if (place) {
    if (order.modules) layouts[place.dataset.layout](order);
    else if (order.hides) place.replaceChildren();
  }
  if (!order.over) return;
  source.close();
  const again = document.querySelector(".again");
  if (again) again.hidden = order.done;
  if (order.done && document.body.dataset.next) location.assign(document.body.dataset.next);
};
