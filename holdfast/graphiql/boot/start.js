import { createFetcher } from "./fetcher.js";
import { Pictures } from "./pictures.js";
import { Session } from "./session.js";
import { Story } from "./story.js";

// The dialogs of GraphiQL bring a style element along; this is where their library looks for the nonce.
globalThis.__webpack_nonce__ = document.querySelector("script[nonce]").nonce;

/** Draws GraphiQL, signed in through `Session`, with the example documents of the page in its tabs. */
export function start({ React, createRoot, GraphiQL, createClient }) {
  const h = React.createElement;
  const endpoint = location.pathname;
  const session = new Session(endpoint);
  const pictures = new Pictures();
  const fetcher = createFetcher({ endpoint, session, story: new Story(), pictures, createClient });
  const root = document.getElementById("graphiql");
  const examples = JSON.parse(root.dataset.examples);
  openFirst(examples[0]);

  const SessionLine = () => {
    const who = React.useSyncExternalStore(session.subscribe, session.who);
    return h(
      "span",
      { className: "holdfast-session" },
      h("strong", null, "Holdfast"),
      who ? h("span", { role: "status" }, `signed in as ${who}`) : h("span", { role: "status" }, "not signed in"),
      who && h("button", { type: "button", onClick: session.signOut }, "sign out"),
    );
  };

  const Picture = () => {
    const shown = React.useSyncExternalStore(pictures.subscribe, pictures.shown);
    return (
      shown &&
      h(
        "figure",
        { className: "holdfast-picture" },
        h("img", { src: shown, alt: "the newest picture of the result" }),
        h("button", { type: "button", onClick: pictures.forget }, "hide"),
      )
    );
  };

  createRoot(root).render(
    h(
      React.Fragment,
      null,
      h(
        GraphiQL,
        {
          fetcher,
          // What is typed here (a password among it) ends with the browser tab, instead of staying in localStorage.
          storage: sessionStorage,
          shouldPersistHeaders: false,
          defaultTabs: examples,
          defaultEditorToolsVisibility: "variables",
        },
        h(GraphiQL.Logo, null, h(SessionLine)),
      ),
      h(Picture),
    ),
  );
}

// GraphiQL 4 opens its first tab without that tab's variables, and after a reload finds its tabs again by the text
// it stored at the last edit: so both are stored before there was any.
function openFirst({ query, variables }) {
  if (sessionStorage.getItem("graphiql:tabState")) return;
  sessionStorage.setItem("graphiql:query", query);
  sessionStorage.setItem("graphiql:variables", variables);
}
