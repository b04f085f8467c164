/** The inspector and what is in it. */

import { MONO, SANS } from "./tokens";

export const SIDE = `
.fb-side{border-left:1px solid var(--fb-line);background:var(--fb-bg);display:flex;flex-direction:column;min-height:0;min-width:0}
.fb-side header{padding:11px 14px 9px}.fb-side h3{margin:0;font:600 13px/1.35 ${MONO};overflow-wrap:anywhere;
color:var(--fb-ink)}.fb-sub{color:var(--fb-ink2);margin-top:3px}.fb-sub i{display:inline-block;width:9px;height:9px;
border-radius:2.5px;margin-right:4px}
.fb-tabs{display:flex;gap:18px;padding:0 14px;border-bottom:1px solid var(--fb-line);flex:none}
.fb-view .fb-tabs button{padding:6px 0;color:var(--fb-ink2);border-bottom:2px solid transparent;margin-bottom:-1px}
.fb-view .fb-tabs [aria-selected=true]{color:var(--fb-ink);border-color:var(--fb-accent);font-weight:600}
.fb-body{padding:12px 14px;overflow:auto;display:flex;flex-direction:column;gap:11px;flex:1;min-height:0;
scrollbar-width:thin;scrollbar-color:var(--fb-line2) transparent}
.fb-value-of,.fb-summary,.fb-sliders{display:flex;flex-direction:column;gap:9px;min-width:0}.fb-set{color:var(--fb-glow);font-weight:600}
.fb-acts{display:flex;gap:12px;margin-top:3px}.fb-view .fb-why{color:var(--fb-bad);font-weight:600}
.fb-editor{display:flex;flex-direction:column;gap:7px}.fb-edit{display:flex;border:1px solid var(--fb-line2);border-radius:6px;overflow:hidden}
.fb-edit label{padding:4px 9px;color:var(--fb-ink3);background:var(--fb-bg1);border-right:1px solid var(--fb-line)}
.fb-view .fb-edit input{border:0;border-radius:0;flex:1;min-width:0;font:11.5px ${MONO}}.fb-view .fb-edit .fb-apply{border-radius:0}
.fb-edited{background:color-mix(in srgb,var(--fb-glow) 16%,var(--fb-bg));border-radius:6px;padding:7px 10px}
.fb-formula{border:1px solid var(--fb-line);border-radius:6px;background:var(--fb-bg1);padding:8px 11px;overflow-x:auto;scrollbar-width:thin;flex:none}
.fb-formula math{font-size:14.5px;text-align:left;margin:2px 0}.fb-formula .fb-note{margin-top:4px}.fb-formula .fb-note+math{font-size:13px}
.fb-formula mtext{font-family:inherit}.fb-check{color:var(--fb-ink3);font-size:11px}.fb-good{color:var(--fb-done)}.fb-wrong{color:var(--fb-bad)}
.fb-stale-reason{border-color:var(--fb-warn)}
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
collapse;font:10.5px ${MONO};width:max-content}.fb-table td.fb-bad{color:var(--fb-bad)}.fb-table td:focus{outline:2px solid var(--fb-accent);outline-offset:-2px}
.fb-view .fb-table input{width:76px;height:18px;padding:0 3px;font:inherit}.fb-row label{display:flex;gap:5px;align-items:center}
.fb-view .fb-row input[type=number]{width:58px;height:21px;padding:0 4px;font-size:11px}
.fb-table td,.fb-table th{padding:2px 7px;text-align:right;font-weight:400;
border:0}.fb-table th{color:var(--fb-ink3);background:var(--fb-bg1);position:sticky;top:0;left:0}
`;
