// Bundles GraphiQL with our boot code into dist/, which the Python side serves from /graphql/assets/.
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));

await rm(new URL("dist", import.meta.url), { recursive: true, force: true });
await build({
  absWorkingDir: here,
  entryPoints: [{ in: "boot/bundled.js", out: "graphiql" }],
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "linked",
  define: { "process.env.NODE_ENV": '"production"' },
  loader: { ".woff2": "file", ".png": "dataurl" },
  logLevel: "info",
});
