// Bundles: the layout worker, the exported page, the widget, and JupyterLab's extension. They are committed
// (flowbook/static/ and extension/labextension/), so installing needs no Node; the same sources give the same bytes
// wherever they are built.

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { gzipSync } from "fflate";

const here = dirname(fileURLToPath(import.meta.url));
const elsewhere = process.argv[2]; // to compare with what is committed
const out = elsewhere ?? join(here, "..", "flowbook", "static");

const common = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  target: "es2022",
  charset: "utf8",
  legalComments: "eof",
  logLevel: "warning",
  metafile: true,
};
/** What the bundles hold of others: each has its part in LICENSE-THIRD-PARTY.txt. */
const licenses = { "@viz-js/viz": "MIT AND EPL-2.0" };

const built = await Promise.all([
  build({ ...common, entryPoints: ["src/layout/worker.ts"], format: "iife", outfile: join(out, "layout.js"), plugins: [{ name: "viz", setup: packViz }] }),
  build({ ...common, entryPoints: ["src/hosts/html.ts"], format: "iife", outfile: join(out, "page.js") }),
  build({ ...common, entryPoints: ["src/hosts/widget.ts"], format: "esm", outfile: join(out, "widget.js") }),
]);
built.forEach(checkLicenses);
await buildLab(elsewhere ? join(elsewhere, "labextension") : join(here, "labextension"));

/**
 * JupyterLab's builder shares JupyterLab's own packages and wants a package of its own: made in build/lab/ of what is in
 * package.json. The view and the layout worker are files of their own, loaded when the first view is drawn.
 */
async function buildLab(target) {
  const home = join(here, "build", "lab");
  rmSync(home, { recursive: true, force: true });
  mkdirSync(home, { recursive: true });
  const made = await build({
    ...common,
    entryPoints: { index: "src/lab/index.ts" },
    format: "esm",
    minify: false, // the builder does that
    splitting: true,
    chunkNames: "[name]-[hash]",
    outdir: join(home, "lib"),
    external: ["@jupyterlab/*", "@lumino/*"],
    plugins: [{ name: "worker", setup: (it) => workerAsText(it, join(out, "layout.js")) }],
  });
  checkLicenses(made);
  const { name, version, description, license, dependencies, jupyterlab } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
  const about = { name, version, description, license, private: true, main: "lib/index.js", dependencies, jupyterlab };
  writeFileSync(join(home, "package.json"), JSON.stringify(about));
  cpSync(join(here, "schema"), join(home, "schema"), { recursive: true });
  cpSync(join(here, jupyterlab.webpackConfig), join(home, jupyterlab.webpackConfig));
  const builder = join(here, "node_modules", "@jupyter", "builder", "lib", "build-labextension.js");
  const core = join(here, "node_modules", "@jupyterlab", "core-meta", "core.package.json");
  try {
    execFileSync(process.execPath, [builder, "--core-package-file", core, home], { cwd: home, stdio: "pipe" });
  } catch (error) {
    process.stderr.write(`${error.stdout}${error.stderr}`);
    process.exit(1);
  }
  rmSync(target, { recursive: true, force: true });
  cpSync(join(home, "labextension"), target, { recursive: true });
  cpSync(join(here, "install.json"), join(target, "install.json"));
  rmSync(join(target, "schemas", name, "package.json.orig"));
  // The builder sees none of these: they are in one program already.
  const packages = Object.entries(licenses).map(([name, licenseId]) => ({
    name,
    versionInfo: JSON.parse(readFileSync(join(here, "node_modules", name, "package.json"), "utf8")).version,
    licenseId,
    extractedText: readFileSync(join(here, "LICENSE-THIRD-PARTY.txt"), "utf8"),
  }));
  writeFileSync(join(target, "static", "third-party-licenses.json"), JSON.stringify({ packages }, null, 2));
}

/** A package that comes into a bundle must not come without its license. */
function checkLicenses({ metafile }) {
  for (const input of Object.keys(metafile.inputs)) {
    const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1];
    if (name && !(name in licenses)) {
      throw new Error(`${name} is in a bundle: name its license in LICENSE-THIRD-PARTY.txt and build.mjs`);
    }
  }
}

/**
 * Viz.js has its WebAssembly as a text of a million characters, of which a browser reads each several times before it
 * runs. Here it is gzip and Base64, and unpacked by the worker itself. Compressed in JavaScript, as what Node's own zlib
 * gives depends on its version.
 */
function packViz(it) {
  it.onLoad({ filter: /@viz-js[\\/]viz[\\/]dist[\\/]viz\.js$/ }, ({ path }) => {
    const text = readFileSync(path, "utf8");
    const [call, literal] = /\bbinaryDecode\(('[^'\\]*(?:\\.[^'\\]*)*')\)/.exec(text) ?? [];
    if (!call) {
      throw new Error("Viz.js keeps its WebAssembly in another way than before: look for it in viz.js, and change build.mjs");
    }
    const wasm = Uint8Array.from(new Function(`return ${literal}`)(), (each) => each.charCodeAt(0) & 255); // 256 stands for 0
    const packed = Buffer.from(gzipSync(wasm, { level: 9, mtime: 0 })).toString("base64");
    const from = JSON.stringify(join(here, "src", "codec"));
    return { contents: `import { unzipBytes } from ${from};${text.replace(call, () => `unzipBytes("${packed}")`)}` };
  });
}

/** `import("flowbook-layout-worker")` is the worker's program as a text. */
function workerAsText(it, file) {
  it.onResolve({ filter: /^flowbook-layout-worker$/ }, (asked) => ({ path: asked.path, namespace: "worker" }));
  it.onLoad({ filter: /.*/, namespace: "worker" }, () => ({ contents: readFileSync(file, "utf8"), loader: "text" }));
}
