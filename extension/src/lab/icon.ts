import { LabIcon } from "@jupyterlab/ui-components";

/** A small graph; it takes the colour of its surroundings. */
export const graphIcon = new LabIcon({
  name: "flowbook:graph",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16">
<g class="jp-icon3" fill="#616161"><path d="M4 5.2v2.3c0 .6.4 1 1 1h2.2V7.3h1.6v1.2H11c.6 0 1-.4 1-1V5.2h1.4v2.3c0 1.3-1 2.4-2.4 2.4H8.8v1.4H7.2V9.9H5c-1.3 0-2.4-1-2.4-2.4V5.2z"/>
<rect x="1.2" y="1.4" width="4.2" height="4" rx="1"/><rect x="10.6" y="1.4" width="4.2" height="4" rx="1"/><rect x="5.9" y="10.6" width="4.2" height="4" rx="1"/></g></svg>`,
});
