/** Patterns of names as in a shell: `*`, `?`, `[…]`; `op:log` is of operations. As `fnmatch` in Python. */

export function matches(pattern: string, name: string, op: string): boolean {
  return pattern.startsWith("op:") ? expression(pattern.slice(3)).test(op) : expression(pattern).test(name);
}

function expression(pattern: string): RegExp {
  const parts = [...pattern.matchAll(/\[(!?)(\]?[^\]]*)\]|[\s\S]/gu)].map(([part, not, set]) => {
    if (set !== undefined) {
      return set ? `[${not ? "^" : ""}${set.replaceAll(/[\\\]^[]/g, "\\$&")}]` : "\\[\\]";
    }
    return part === "*" ? "[\\s\\S]*" : part === "?" ? "[\\s\\S]" : part.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
  });
  return new RegExp(`^${parts.join("")}$`, "u");
}
