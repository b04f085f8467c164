/** The looks of what is JupyterLab's alone, in its own colours. */

const STYLE = `
.flowbook-output { padding: 2px 0; }
.flowbook-output img.flowbook-picture { max-width: 100%; }
.flowbook-output > pre { margin: 0; }
.flowbook-note { color: var(--jp-ui-font-color2); }
.flowbook-line {
  position: absolute; left: 0; right: 0; pointer-events: none; border-left: 3px solid var(--jp-brand-color1);
  background: color-mix(in srgb, var(--jp-brand-color1) 16%, transparent); animation: flowbook-fade 2.4s ease-in forwards;
}
@keyframes flowbook-fade { 60% { opacity: 1; } to { opacity: 0; } }
@media (prefers-reduced-motion: reduce) { .flowbook-line { animation: none; } }
.flowbook-panel {
  overflow: auto; padding: 4px 0; background: var(--jp-layout-color1); color: var(--jp-ui-font-color1);
  font-size: var(--jp-ui-font-size1); min-width: 220px;
}
.flowbook-panel summary {
  display: flex; align-items: baseline; gap: 6px; padding: 5px 10px; cursor: pointer; font-weight: 600;
  border-top: 1px solid var(--jp-border-color2); list-style: none;
}
.flowbook-panel summary::before { content: "▸"; width: 10px; color: var(--jp-ui-font-color2); }
.flowbook-panel details[open] > summary::before { content: "▾"; }
.flowbook-panel details:first-of-type > summary { border-top: 0; }
.flowbook-panel details { padding-bottom: 4px; }
.flowbook-panel .flowbook-count { margin-left: auto; font-weight: 400; color: var(--jp-ui-font-color2); }
.flowbook-panel .flowbook-row { display: flex; align-items: baseline; gap: 8px; padding: 2px 10px 2px 26px; }
.flowbook-panel .flowbook-row > .flowbook-note { margin-left: auto; white-space: nowrap; font-size: var(--jp-ui-font-size0); }
.flowbook-panel .flowbook-row > .flowbook-note + .flowbook-note { margin-left: 0; }
.flowbook-panel .flowbook-name {
  border: 0; padding: 0; background: none; font: inherit; color: inherit; text-align: left; min-width: 40px;
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
}
.flowbook-panel button.flowbook-name { cursor: pointer; color: var(--jp-content-link-color); }
.flowbook-panel button.flowbook-name:hover { text-decoration: underline; }
.flowbook-panel .flowbook-variable { padding-bottom: 3px; }
.flowbook-panel .flowbook-value {
  padding: 0 10px 0 26px; font-family: var(--jp-code-font-family); font-size: var(--jp-ui-font-size0);
  color: var(--jp-ui-font-color2); overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
}
.flowbook-panel code { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-size: var(--jp-ui-font-size0); }
.flowbook-panel .flowbook-remove {
  margin-left: auto; flex: none; border: 0; background: none; color: var(--jp-ui-font-color2); cursor: pointer; padding: 0 2px;
}
.flowbook-panel .flowbook-note + .flowbook-remove { margin-left: 0; }
.flowbook-panel .flowbook-remove svg, .flowbook-panel .flowbook-form button svg { width: 12px; height: 12px; stroke: currentColor; fill: none; }
.flowbook-panel .flowbook-remove:hover { color: var(--jp-error-color1); }
.flowbook-panel .flowbook-form { display: flex; gap: 4px; padding: 3px 10px 3px 26px; }
.flowbook-panel .flowbook-form input.jp-mod-styled {
  flex: 1; min-width: 0; height: 24px; box-sizing: border-box; padding: 0 5px; font-size: var(--jp-ui-font-size0);
}
.flowbook-panel .flowbook-form button {
  flex: none; width: 24px; height: 24px; border: 1px solid var(--jp-border-color1); border-radius: 2px;
  background: var(--jp-layout-color2); color: inherit; cursor: pointer;
}
.flowbook-panel :is(button, summary, input):focus-visible { outline: 2px solid var(--jp-brand-color1); outline-offset: 1px; }
.flowbook-panel .flowbook-usable::before { content: "●"; color: var(--jp-success-color1); margin-right: 6px; }
.flowbook-panel .flowbook-absent::before { content: "○"; color: var(--jp-ui-font-color3); margin-right: 6px; }
.flowbook-panel .flowbook-why { color: var(--jp-ui-font-color2); }
.flowbook-panel .flowbook-stale { color: var(--jp-warn-color0, var(--jp-warn-color1)); }
.flowbook-panel .flowbook-empty { margin: 2px 0; padding: 2px 10px 2px 26px; color: var(--jp-ui-font-color2); }
.flowbook-panel .flowbook-trouble {
  margin: 4px 10px; padding: 6px 8px; border-left: 3px solid var(--jp-error-color1); background: var(--jp-layout-color2);
  white-space: pre-wrap;
}
.flowbook-file { overflow: hidden; }
.flowbook-file > div, .flowbook-file .fb-view { height: 100%; }
`;

/** Put them into the page, once. */
export function addStyle(): void {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLE);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
}
