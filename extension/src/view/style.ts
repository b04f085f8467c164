/** The looks. Colours are JupyterLab's where there are any, and mean something: quiet greys for all the rest. */

const MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace";
export const SANS = "system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif";
export const FONTS = { name: `600 11.5px ${MONO}`, text: `10.5px ${SANS}`, small: `10px ${SANS}`, number: `9.5px ${MONO}`, link: `11.5px ${MONO}` };

const LIGHT = `
--fb-bg:var(--jp-layout-color1,#fff);--fb-bg1:#fafbfc;--fb-bg2:#f1f3f5;--fb-line:#e1e4e8;--fb-line2:#c5cbd3;
--fb-ink:#1f2328;--fb-ink2:#57606a;--fb-ink3:#7d8590;--fb-accent:#1f6feb;--fb-on-accent:#fff;
--fb-done:#1a7f37;--fb-done-bg:#eff8f1;--fb-done-line:#b9dcc2;--fb-run-bg:#e4efff;--fb-ready-bg:#f3f8ff;
--fb-bad:#cf222e;--fb-warn:#9a6700;--fb-grad:#d9730d;--fb-grad-bg:#fdf5ec;--fb-glow:#f2c01d;--fb-edge:#c3c9d1;
--fb-edge2:#8d96a1;--fb-placeholder:#4c78a8;--fb-variable:#2f9e8f;--fb-constant:#9aa3af;--fb-copy:#b279a2;
--fb-write:#54a24b;--fb-heat:#e5484d;--fb-mem:#8250df;--fb-neg:#2b7bc0;--fb-pos:#d9602b;--fb-zero:#f7f7f7;
--fb-d0:#4c78a8;--fb-d1:#72b7b2;--fb-d2:#76b900;--fb-d3:#e0a030;--fb-shadow:0 1px 2px #1f232814;`;
const DARK = `
--fb-bg:var(--jp-layout-color1,#111418);--fb-bg1:#161a20;--fb-bg2:#1f252d;--fb-line:#2a3038;--fb-line2:#414a56;
--fb-ink:#e6edf3;--fb-ink2:#a5aeb9;--fb-ink3:#848d97;--fb-accent:#58a6ff;--fb-on-accent:#0d1117;
--fb-done:#56d364;--fb-done-bg:#14231a;--fb-done-line:#2b4a34;--fb-run-bg:#12294a;--fb-ready-bg:#151d29;
--fb-bad:#ff7b72;--fb-warn:#d8a22d;--fb-grad:#f0883e;--fb-grad-bg:#241b13;--fb-glow:#d4a72c;--fb-edge:#3d4551;
--fb-edge2:#707a86;--fb-placeholder:#5b8cc0;--fb-variable:#3bb3a2;--fb-constant:#7d8590;--fb-copy:#c18ab2;
--fb-write:#5fb356;--fb-heat:#ff6369;--fb-mem:#a371f7;--fb-neg:#5aa9e6;--fb-pos:#f08a4b;--fb-zero:#1f252d;
--fb-d0:#5b8cc0;--fb-d1:#79c0bb;--fb-d2:#86c91b;--fb-d3:#e0ad4a;--fb-shadow:none;`;

export const STYLE = `
.fb-view{${LIGHT}position:relative;display:grid;grid-template:38px minmax(0,1fr) auto/minmax(0,1fr) 336px;height:640px;
overflow:hidden;box-sizing:border-box;background:var(--fb-bg);color:var(--fb-ink);border:1px solid var(--fb-line);
border-radius:8px;font:12px/1.4 ${SANS};text-align:left;outline:none;-webkit-font-smoothing:antialiased}
.fb-view[data-fb-theme=dark]{${DARK}color-scheme:dark}
.fb-view.fb-alone{grid-template-columns:minmax(0,1fr) 0}.fb-view.fb-alone .fb-side{display:none}
.fb-view:focus-visible{border-color:var(--fb-accent)}
.fb-view *{box-sizing:border-box}.fb-view code,.fb-mono{font-family:${MONO}}.fb-view [hidden]{display:none!important}
.fb-view button{all:unset;cursor:pointer;box-sizing:border-box}
.fb-view button:focus-visible,.fb-view select:focus-visible,.fb-view input:focus-visible,.fb-view summary:focus-visible
{outline:2px solid var(--fb-accent);outline-offset:1px}
.fb-view ::selection{background:color-mix(in srgb,var(--fb-accent) 30%,transparent)}
.fb-bar{grid-column:1/3;display:flex;align-items:center;gap:2px;padding:0 10px;border-bottom:1px solid var(--fb-line);
background:var(--fb-bg1);min-width:0}
.fb-bar button{width:26px;height:26px;border-radius:5px;display:grid;place-items:center;color:var(--fb-ink2);flex:none}
.fb-bar button:hover{background:var(--fb-bg2);color:var(--fb-ink)}.fb-bar button[disabled]{opacity:.35;pointer-events:none}
.fb-bar button.fb-main{color:var(--fb-accent)}.fb-bar button[aria-pressed=true]{background:var(--fb-bg2);color:var(--fb-grad)}
.fb-bar svg{width:16px;height:16px;fill:none;stroke:currentColor;stroke-width:1.5;stroke-linejoin:round;stroke-linecap:round}
.fb-sep{width:1px;height:18px;background:var(--fb-line);margin:0 6px;flex:none}
.fb-status{margin:0 10px;color:var(--fb-ink2);white-space:nowrap;overflow:hidden;text-overflow:ellipsis;flex:1 1 auto;
min-width:0}.fb-status b{color:var(--fb-ink);font-weight:600}
.fb-view select,.fb-view input[type=search],.fb-view input[type=text]{font:inherit;color:var(--fb-ink);
background:var(--fb-bg);border:1px solid var(--fb-line2);border-radius:5px;height:25px;padding:0 7px;margin:0;flex:none}
.fb-bar select{margin-right:4px}.fb-bar input[type=search]{width:172px}
.fb-view ::placeholder{color:var(--fb-ink3);opacity:1}
.fb-found{color:var(--fb-ink3);min-width:44px;text-align:right;padding:0 4px;font-variant-numeric:tabular-nums}
.fb-canvas{position:relative;overflow:hidden;min-width:0;background:var(--fb-bg) radial-gradient(var(--fb-line) .8px,
transparent .9px) 0 0/16px 16px;cursor:grab;touch-action:none}
.fb-canvas.fb-drag{cursor:grabbing}.fb-canvas>svg{position:absolute;inset:0;width:100%;height:100%;display:block}
.fb-canvas text{user-select:none;pointer-events:none}
.fb-card{cursor:pointer;transition:opacity .15s}.fb-card .fb-shape{fill:var(--fb-bg);stroke:var(--fb-line2);stroke-width:1}
.fb-card .fb-under{fill:var(--fb-bg1);stroke:var(--fb-line2)}
.fb-card:hover .fb-shape{stroke:var(--fb-ink3)}.fb-card .fb-detail{fill:none;stroke:var(--fb-line2)}
.fb-name{font:${FONTS.name};fill:var(--fb-ink)}.fb-op{font:${FONTS.text};fill:var(--fb-ink2)}
.fb-spec,.fb-ms{font:${FONTS.small};fill:var(--fb-ink3)}.fb-ms{text-anchor:end;font-variant-numeric:tabular-nums}
.fb-waiting .fb-shape{stroke-dasharray:3.5 2.5}.fb-ready .fb-shape{fill:var(--fb-ready-bg);stroke:var(--fb-accent);
stroke-opacity:.5}.fb-running .fb-shape{fill:var(--fb-run-bg);stroke:var(--fb-accent)}
.fb-finished .fb-shape{fill:var(--fb-done-bg);stroke:var(--fb-done-line)}
.fb-released .fb-shape{fill:var(--fb-done-bg);fill-opacity:.55;stroke:var(--fb-line2)}
.fb-failed .fb-shape{fill:color-mix(in srgb,var(--fb-bad) 12%,var(--fb-bg));stroke:var(--fb-bad);stroke-width:1.6}
.fb-stale .fb-shape{stroke:var(--fb-warn);stroke-width:1.6;stroke-dasharray:5 3}
.fb-bar-of{fill:var(--fb-done);opacity:.7}
.fb-ring{fill:none;stroke:transparent;stroke-width:2;pointer-events:none}
.fb-changed .fb-ring{stroke:var(--fb-glow);stroke-width:3}
.fb-lit .fb-ring{stroke:color-mix(in srgb,var(--fb-accent) 55%,transparent)}
.fb-hit .fb-ring{stroke:var(--fb-glow)}.fb-pair .fb-ring{stroke:var(--fb-grad);stroke-dasharray:4 3}
.fb-selected .fb-ring{stroke:var(--fb-accent);stroke-dasharray:none}
.fb-next .fb-shape{fill:var(--fb-run-bg);stroke:var(--fb-accent);stroke-dasharray:none}
.fb-arrow{fill:var(--fb-accent);display:none}.fb-next .fb-arrow{display:inline}
.fb-gutter{fill:transparent}.fb-dot{fill:var(--fb-bad);opacity:0;pointer-events:none}
.fb-gutter:hover+.fb-dot{opacity:.4}.fb-stop .fb-dot{opacity:1!important}
.fb-dim .fb-card:not(.fb-lit):not(.fb-selected),.fb-dim .fb-edge:not(.fb-lit),.fb-dim .fb-label{opacity:.3}
.fb-edge{fill:none;stroke:var(--fb-edge);stroke-width:1.3}.fb-edge.fb-flown{stroke:var(--fb-edge2)}
.fb-edge.fb-back{stroke:var(--fb-grad);stroke-opacity:.4}.fb-edge.fb-back.fb-flown{stroke-opacity:.85}
.fb-edge.fb-quiet{stroke-opacity:.35;stroke-width:1}.fb-edge.fb-wait{stroke-dasharray:3 3}.fb-edge.fb-lit{stroke:var(--fb-accent);stroke-opacity:1;stroke-width:1.8}
.fb-river{fill:none;stroke:var(--fb-grad);stroke-opacity:.3;stroke-linecap:round;pointer-events:none}
.fb-label{font:${FONTS.small};fill:var(--fb-ink3);paint-order:stroke;stroke:var(--fb-bg);stroke-width:4px}
.fb-label.fb-value{fill:var(--fb-ink);font-family:${MONO};font-size:9.5px}.fb-label.fb-end{text-anchor:end}
.fb-scope rect{fill:var(--fb-bg2);fill-opacity:.5;stroke:var(--fb-line2)}.fb-scope.fb-back rect{fill:var(--fb-grad);
fill-opacity:.045;stroke:var(--fb-grad);stroke-opacity:.35}
.fb-scope{cursor:pointer}.fb-scope:hover rect{stroke:var(--fb-ink3)}.fb-scope text{font:${FONTS.text};fill:var(--fb-ink2)}
.fb-mini{position:absolute;right:12px;bottom:12px;width:150px;height:94px;border:1px solid var(--fb-line2);
border-radius:6px;background:var(--fb-bg1);opacity:.94;cursor:pointer;overflow:hidden}
.fb-mini svg{width:100%;height:100%;display:block}.fb-mini rect{fill:var(--fb-line2)}.fb-mini .fb-back{fill:var(--fb-grad);
opacity:.5}.fb-mini .fb-here{fill:var(--fb-accent);fill-opacity:.1;stroke:var(--fb-accent);vector-effect:non-scaling-stroke}
.fb-legend{display:flex;gap:3px 13px;margin-left:14px;color:var(--fb-ink2);font-size:10.5px;white-space:nowrap}
.fb-legend i{display:inline-block;width:9px;height:9px;border-radius:2.5px;margin-right:5px;
vertical-align:-.5px}
.fb-notices{position:absolute;left:50%;top:12px;transform:translateX(-50%);display:grid;gap:6px;z-index:3;max-width:80%}
.fb-notice{display:flex;gap:10px;padding:7px 12px;border-radius:6px;background:var(--fb-bg1);border:1px solid var(--fb-line2);
box-shadow:0 4px 14px #0002}.fb-notice.fb-error,.fb-notice.fb-ended{border-color:var(--fb-bad)}
.fb-notice.fb-warning{border-color:var(--fb-warn)}.fb-notice button{color:var(--fb-ink3)}
.fb-side{border-left:1px solid var(--fb-line);background:var(--fb-bg);display:flex;flex-direction:column;min-height:0;min-width:0}
.fb-side header{padding:11px 14px 9px}.fb-side h3{margin:0;font:600 13px/1.35 ${MONO};overflow-wrap:anywhere;
color:var(--fb-ink)}.fb-sub{color:var(--fb-ink2);margin-top:3px}.fb-sub i{display:inline-block;width:9px;height:9px;
border-radius:2.5px;margin-right:4px}
.fb-tabs{display:flex;gap:18px;padding:0 14px;border-bottom:1px solid var(--fb-line);flex:none}
.fb-view .fb-tabs button{padding:6px 0;color:var(--fb-ink2);border-bottom:2px solid transparent;margin-bottom:-1px}
.fb-view .fb-tabs [aria-selected=true]{color:var(--fb-ink);border-color:var(--fb-accent);font-weight:600}
.fb-body{padding:12px 14px;overflow:auto;display:flex;flex-direction:column;gap:11px;flex:1;min-height:0;
scrollbar-width:thin;scrollbar-color:var(--fb-line2) transparent}
.fb-stats{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:6px}.fb-stat{background:var(--fb-bg1);
border:1px solid var(--fb-line);border-radius:5px;padding:4px 7px;min-width:0}.fb-stat i{font-style:normal;color:var(--fb-ink3);
display:block;font-size:10.5px}.fb-stat b{font:500 11.5px ${MONO};white-space:nowrap}.fb-stat.fb-bad b{color:var(--fb-bad)}
.fb-hist{width:100%;height:64px;display:block}.fb-hist rect{fill:var(--fb-accent);opacity:.75}.fb-hist.fb-of-grad rect{
fill:var(--fb-grad)}.fb-axis{display:flex;justify-content:space-between;color:var(--fb-ink3);font:10px ${MONO};margin-top:-8px}
.fb-heat{width:100%;image-rendering:pixelated;border:1px solid var(--fb-line);border-radius:4px;display:block}
.fb-row{display:flex;align-items:center;gap:9px;color:var(--fb-ink2)}.fb-row .fb-mono{color:var(--fb-ink)}
.fb-note{color:var(--fb-ink3);font-size:11px}.fb-quote{background:var(--fb-bg1);border:1px solid var(--fb-line);border-radius:5px;
padding:7px 10px;overflow-wrap:anywhere}.fb-quote.fb-code{font:11.5px/1.5 ${MONO};white-space:pre-wrap}
.fb-view h4{margin:4px 0 -5px;font-size:10.5px;font-weight:600;color:var(--fb-ink3);letter-spacing:.02em}
.fb-links{display:flex;flex-direction:column;gap:1px}.fb-view .fb-link{display:flex;gap:8px;justify-content:space-between;
padding:3px 6px;margin:0 -6px;border-radius:4px;font:11.5px ${MONO};color:var(--fb-ink)}.fb-view .fb-link:hover{
background:var(--fb-bg2)}.fb-link span:last-child{color:var(--fb-ink3);font:11px ${SANS};white-space:nowrap}
.fb-link span:first-child{overflow-wrap:anywhere}
.fb-table{overflow:auto;max-height:230px;border:1px solid var(--fb-line);border-radius:4px}.fb-table table{border-collapse:
collapse;font:10.5px ${MONO};width:max-content}.fb-table td,.fb-table th{padding:2px 7px;text-align:right;font-weight:400;
border:0}.fb-table th{color:var(--fb-ink3);background:var(--fb-bg1);position:sticky;top:0;left:0}
.fb-view details summary{cursor:pointer;color:var(--fb-ink2)}.fb-view details[open] summary{margin-bottom:6px}
.fb-empty{color:var(--fb-ink3);padding:26px 14px;text-align:center}
.fb-time{grid-column:1/3;border-top:1px solid var(--fb-line);background:var(--fb-bg1);position:relative;min-width:0}
.fb-scrub{display:flex;align-items:center;gap:10px;padding:6px 14px 1px;min-height:26px;color:var(--fb-ink2);font-size:11px}
.fb-view input[type=range]{appearance:none;background:none;height:14px;margin:0;min-width:0;flex:1;cursor:pointer}
.fb-view input[type=range]::-webkit-slider-runnable-track{height:3px;border-radius:2px;background:var(--fb-line2)}
.fb-view input[type=range]::-moz-range-track{height:3px;border-radius:2px;background:var(--fb-line2)}
.fb-view input[type=range]::-webkit-slider-thumb{appearance:none;width:12px;height:12px;border-radius:50%;border:0;
background:var(--fb-accent);margin-top:-4.5px}
.fb-view input[type=range]::-moz-range-thumb{width:12px;height:12px;border-radius:50%;border:0;background:var(--fb-accent)}
.fb-scrub span{
font-variant-numeric:tabular-nums;white-space:nowrap}
.fb-lanes{display:block;width:100%;cursor:pointer}
.fb-help{position:absolute;inset:0;background:color-mix(in srgb,var(--fb-bg) 60%,transparent);display:grid;place-items:center;
z-index:5}.fb-help>div{background:var(--fb-bg);border:1px solid var(--fb-line2);border-radius:8px;padding:16px 22px 20px;
box-shadow:0 12px 40px #0004;max-height:92%;overflow:auto;outline:none}.fb-help h3{margin:0 0 10px;font-size:14px}
.fb-help dl{display:grid;grid-template-columns:auto auto auto auto;gap:5px 14px;margin:0}.fb-help dt{text-align:right}
.fb-help dd{margin:0 12px 0 0;color:var(--fb-ink2)}.fb-view kbd{font:11px ${MONO};border:1px solid var(--fb-line2);
border-bottom-width:2px;border-radius:4px;padding:0 5px;background:var(--fb-bg1)}
.fb-tip{position:absolute;pointer-events:none;background:var(--fb-bg);border:1px solid var(--fb-line2);border-radius:5px;
padding:4px 8px;box-shadow:0 4px 14px #0002;z-index:4;white-space:nowrap;font-size:11px}
@media (prefers-reduced-motion:reduce){.fb-view *{transition:none!important}}
`;

const added = new WeakMap<Document | ShadowRoot, CSSStyleSheet>();

/** Put the looks where an element is, once. A constructed sheet works under every content policy. */
export function addStyle(element: Element): void {
  const root = element.getRootNode();
  const home = root instanceof ShadowRoot ? root : document;
  if (!added.has(home)) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    added.set(home, sheet);
    home.adoptedStyleSheets = [...home.adoptedStyleSheets, sheet];
  }
}
