// Tries everything that a page can to reach a place that is not its portal's. Resolves when all of it was begun.
async (places) => {
  const quietly = async (attempt) => {
    try {
      await Promise.race([attempt(), new Promise((enough) => setTimeout(enough, 300))]);
    } catch {}
  };
  const element = (name, attributes) => () => {
    const made = document.createElement(name);
    Object.assign(made, attributes);
    document.body.append(made);
  };
  const attempts = (url) => [
    () => fetch(url),
    () => fetch(url, { mode: "no-cors", keepalive: true }),
    () => navigator.sendBeacon(url, "x"),
    () => {
      const request = new XMLHttpRequest();
      request.open("GET", url);
      request.send();
    },
    () => new WebSocket(url.replace(/^http/, "ws")),
    () => new EventSource(url),
    () => new Worker(URL.createObjectURL(new Blob([`importScripts(${JSON.stringify(url)})`]))),
    element("img", { src: url }),
    element("script", { src: url }),
    element("iframe", { src: url }),
    element("object", { data: url }),
    element("video", { src: url, preload: "auto" }),
    element("link", { rel: "stylesheet", href: url }),
    element("link", { rel: "prefetch", href: url }),
    element("link", { rel: "preconnect", href: url }),
    element("link", { rel: "dns-prefetch", href: url }),
    element("script", { type: "speculationrules", textContent: JSON.stringify({ prerender: [{ urls: [url] }] }) }),
    () => {
      element("a", { href: location.href, ping: url, id: "pinged" })();
    },
    () => fetch(`/to/?url=${encodeURIComponent(url)}`),
    element("iframe", { src: `/to/?url=${encodeURIComponent(url)}` }),
    () => {
      element("iframe", { name: "inner" })();
      const form = document.createElement("form");
      Object.assign(form, { method: "post", action: url, target: "inner" });
      document.body.append(form);
      form.submit();
    },
    () => window.open(url),
  ];
  await Promise.all(places.http.flatMap((url) => attempts(url)).map(quietly));
  await quietly(async () => {
    const peer = new RTCPeerConnection({
      iceServers: places.stun.map((at) => ({ urls: at, username: "a", credential: "b" })),
    });
    peer.createDataChannel("x");
    await peer.setLocalDescription(await peer.createOffer());
    await new Promise((done) => (peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && done()));
  });
}
