/** The picture: cards, edges, scopes, the minimap and the legend. */

import { FONTS, MONO } from "./tokens";

export const PICTURE = `
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
.fb-glow .fb-ring{stroke:var(--fb-glow)}
.fb-bad-value .fb-shape{fill:color-mix(in srgb,var(--fb-bad) 11%,var(--fb-bg));stroke:var(--fb-bad)}
.fb-context{opacity:.5}.fb-context:hover,.fb-context.fb-selected,.fb-context.fb-lit,.fb-context.fb-hit{opacity:1}
.fb-badge{fill:none;stroke:none}.fb-badge-text{font:700 10px ${MONO};text-anchor:middle;fill:none}
.fb-marked .fb-badge{fill:var(--fb-warn)}.fb-marked .fb-badge-text{fill:var(--fb-bg)}.fb-added .fb-badge{fill:var(--fb-done)}
.fb-added .fb-shape{stroke:var(--fb-done);stroke-width:1.4}.fb-changed .fb-shape,.fb-rewired .fb-shape{stroke:var(--fb-warn);stroke-width:1.4}
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
.fb-empty{position:absolute;inset:0;display:grid;place-items:center;color:var(--fb-ink3);padding:0 14px;text-align:center}
.fb-mini{position:absolute;right:12px;bottom:12px;width:150px;height:94px;border:1px solid var(--fb-line2);
border-radius:6px;background:var(--fb-bg1);opacity:.94;cursor:pointer;overflow:hidden}
.fb-mini svg{width:100%;height:100%;display:block}.fb-mini rect{fill:var(--fb-line2)}.fb-mini .fb-back{fill:var(--fb-grad);
opacity:.5}.fb-mini .fb-here{fill:var(--fb-accent);fill-opacity:.1;stroke:var(--fb-accent);vector-effect:non-scaling-stroke}
.fb-legend{display:flex;gap:3px 13px;margin-left:14px;color:var(--fb-ink2);font-size:10.5px;white-space:nowrap}
.fb-legend i{display:inline-block;width:9px;height:9px;border-radius:2.5px;margin-right:5px;
vertical-align:-.5px}
`;
