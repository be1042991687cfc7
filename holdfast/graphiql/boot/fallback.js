// The way in when nothing was built: the libraries came from a CDN as globals.
import { start } from "./start.js";

start({
  React: globalThis.React,
  createRoot: globalThis.ReactDOM.createRoot,
  GraphiQL: globalThis.GraphiQL,
  createClient: globalThis.graphqlWs.createClient,
});
