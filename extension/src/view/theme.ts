/** Light or dark: as JupyterLab says where it is around, else as the browser prefers. */

export type Theme = "follow" | "light" | "dark";

export function followTheme(root: HTMLElement, wanted: Theme, changed: () => void): () => void {
  const preferred = matchMedia("(prefers-color-scheme: dark)");
  const apply = (): void => {
    const told = root.closest("[data-jp-theme-light]") ?? document.querySelector("body[data-jp-theme-light]");
    const dark = told ? told.getAttribute("data-jp-theme-light") === "false" : preferred.matches;
    const theme = wanted === "follow" ? (dark ? "dark" : "light") : wanted;
    if (root.dataset["fbTheme"] !== theme) {
      root.dataset["fbTheme"] = theme;
      changed();
    }
  };
  const observer = new MutationObserver(apply);
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  preferred.addEventListener("change", apply);
  apply();
  return () => {
    observer.disconnect();
    preferred.removeEventListener("change", apply);
  };
}
