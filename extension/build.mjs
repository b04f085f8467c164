// Bundles: the layout worker, the exported page, the widget. They are committed under flowbook/static/, so installing
// needs no Node; the same sources give the same bytes wherever they are built.

import { build } from "esbuild";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "..", "flowbook", "static");

const common = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  target: "es2022",
  charset: "utf8",
  legalComments: "eof",
  logLevel: "warning",
};

await Promise.all([
  build({ ...common, entryPoints: ["src/layout/worker.ts"], format: "iife", outfile: join(out, "layout.js") }),
  build({ ...common, entryPoints: ["src/hosts/html.ts"], format: "iife", outfile: join(out, "page.js") }),
  build({ ...common, entryPoints: ["src/hosts/widget.ts"], format: "esm", outfile: join(out, "widget.js") }),
]);
