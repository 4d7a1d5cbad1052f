/** The exact content of a folder, to show that a refusal changed nothing. */
import { join } from "@std/path";

/** Returns every file below `folder` by its path in it, with the SHA-256 of its bytes. */
export async function contentOf(folder: string): Promise<Readonly<Record<string, string>>> {
  const content: Record<string, string> = {};
  const walk = async (below: string): Promise<void> => {
    const entries = [...Deno.readDirSync(join(folder, below))];
    for (const entry of entries.sort((a, b) => a.name < b.name ? -1 : 1)) {
      const path = join(below, entry.name);
      if (entry.isDirectory) await walk(path);
      else content[path] = await hashOf(join(folder, path));
    }
  };
  await walk(".");
  return content;
}

/** Flips one bit of the first occurrence of `text` in a file below `folder`; returns the file's name. */
export function damage(folder: string, text: string): string {
  for (const entry of Deno.readDirSync(folder)) {
    const file = join(folder, entry.name);
    const bytes = Deno.readFileSync(file);
    const at = indexOf(bytes, new TextEncoder().encode(text));
    if (at < 0) continue;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    Deno.writeFileSync(file, bytes);
    return entry.name;
  }
  throw new Error(`No file in ${folder} holds ${text}`);
}

async function hashOf(file: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(file));
  return new Uint8Array(digest).toHex();
}

function indexOf(bytes: Uint8Array, sought: Uint8Array): number {
  for (let at = 0; at + sought.length <= bytes.length; at++) {
    if (sought.every((byte, offset) => bytes[at + offset] === byte)) return at;
  }
  return -1;
}

/** Flips one bit in the middle of a file. */
export function damageMiddle(file: string): void {
  const bytes = Deno.readFileSync(file);
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  Deno.writeFileSync(file, bytes);
}

/** Returns the paths of the files in `folder` whose names end so, sorted by name. */
export function filesIn(folder: string, ending: string): readonly string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => name.endsWith(ending)).sort()
    .map((name) => join(folder, name));
}

/** Returns the size of a file; 0 when there is none. */
export function bytesOf(file: string): number {
  try {
    return Deno.statSync(file).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}
