/** Which cell of a notebook is meant by the name that the kernel knows it by, and the other way round. */

/** What is to be known of a notebook's cell. */
export interface CodeCell {
  id: string;
  source: string;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The name that the kernel gives to a cell: its `--name`, else its id, of a UUID the first part. */
export function cellName(cell: CodeCell): string {
  return namedBy(cell.source) ?? (UUID.test(cell.id) ? cell.id.slice(0, 8) : cell.id);
}

/** The place of the cell of this name, or -1. Of two with one name the last one counts, as in the kernel. */
export function findCell(cells: readonly CodeCell[], name: string): number {
  return cells.map(cellName).lastIndexOf(name);
}

/** What `%%flow --name NAME` says, where the cell begins with that. */
function namedBy(source: string): string | null {
  const magic = source.split("\n").find((line) => line.trim() !== "");
  const options = /^\s*%%flow(\s.*)?$/.exec(magic ?? "")?.[1];
  const found = /(?:^|\s)--name(?:\s+|=)("[^"]*"|'[^']*'|\S+)/.exec(options ?? "")?.[1];
  return found === undefined ? null : found.replace(/^(["'])(.*)\1$/, "$2");
}
