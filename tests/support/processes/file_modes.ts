/** Modes of files: which of them other users of the machine may open. */

/** Bits that permit anything to other users than the owner. */
const OTHERS = 0o077;

/** Sets the umask of this process and of those that it starts, until it is disposed of. */
export function withUmask(umask: number): Disposable {
  const before = Deno.umask(umask);
  return { [Symbol.dispose]: () => void Deno.umask(before) };
}

/**
 * Returns the files and folders below `folder` that others may open, each with its mode, relative to the folder. Entries
 * that disappear meanwhile are left out.
 */
export function openPaths(folder: string, below = ""): readonly string[] {
  const found: string[] = [];
  for (const { name, isDirectory } of entriesOf(`${folder}/${below}`)) {
    const path = `${below}${name}`;
    const mode = modeOf(`${folder}/${path}`);
    if (mode !== null && (mode & OTHERS) !== 0) found.push(`${path} ${(mode & 0o777).toString(8)}`);
    if (isDirectory) found.push(...openPaths(folder, `${path}/`));
  }
  return found.sort();
}

function entriesOf(path: string): readonly Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(path)];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function modeOf(path: string): number | null {
  try {
    return Deno.lstatSync(path).mode;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
