/** The exported file: the page has the recording in it, and a player answers the buttons. */

import { type Packed, unpackBase64, unzip } from "../codec";
import { layoutProgram } from "./program";
import { WorkerEngine } from "../layout/layouter";
import { Player } from "../player";
import { View } from "../view/view";

const PAGE = "html,body{margin:0;height:100%;overflow:hidden}.fb-page .fb-view{height:100vh;border:0;border-radius:0}";

async function main(): Promise<void> {
  const engine = new WorkerEngine(layoutProgram);
  engine.warm();
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(PAGE);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  // The recording stands behind the script: while the browser reads it, the worker starts.
  await new Promise((done) => document.addEventListener("DOMContentLoaded", done));
  const text = document.getElementById("flowbook-recording")?.textContent ?? "";
  const messages = (JSON.parse(await unzip(text)) as Packed[]).map(unpackBase64);
  const home = document.getElementById("flowbook-view")!;
  home.replaceChildren();
  home.className = "fb-page";
  const view = new View(home, new Player(messages), engine.run, { alone: true });
  view.root.focus();
}

void main();
