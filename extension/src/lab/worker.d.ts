/** The program of the layout worker; `build.mjs` puts it in. */
declare module "flowbook-layout-worker" {
  const program: string;
  export default program;
}
