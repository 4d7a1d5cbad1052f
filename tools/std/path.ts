/** Substitute for `jsr:@std/path` if JSR cannot be reached (see tools/std_imports.ts). */
export { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
export { fileURLToPath as fromFileUrl } from "node:url";
