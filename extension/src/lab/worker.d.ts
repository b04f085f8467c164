/** The program of the layout worker, gzip and Base64; `build.mjs` puts it in. */
declare module "flowbook-layout-worker" {
  const program: string;
  export default program;
}
