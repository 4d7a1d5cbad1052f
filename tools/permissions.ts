/**
 * The permission set `kvraft` of deno.json as flags.
 *
 * `deno run -P=kvraft` takes the set's paths as relative to deno.json. The flags made here keep them relative to the
 * working directory of the program that gets them: that is what the compiled binary promises ("read the working
 * directory, write ./data under it"), and what a test needs that starts a node in a folder of its own.
 */

/** The parts of deno.json that this reads. */
interface PermissionSet {
  readonly net: boolean;
  readonly read: readonly string[];
  readonly write: readonly string[];
}

const configFile = new URL("../deno.json", import.meta.url);

/**
 * Reads the set and gives its flags, `--no-prompt` included.
 *
 * @param dataDirectory also readable and writable; null for what deno.json says and nothing else
 */
export function permissionFlags(dataDirectory: string | null): readonly string[] {
  const set: PermissionSet = JSON.parse(Deno.readTextFileSync(configFile)).permissions.kvraft;
  const unknown = Object.keys(set).filter((name) => !["net", "read", "write"].includes(name));
  if (unknown.length > 0) {
    throw new Error(
      `Cannot turn the permission ${unknown[0]} of deno.json into a flag: permissions.ts lacks it`,
    );
  }
  const extra = dataDirectory === null ? [] : [dataDirectory];
  return [
    ...(set.net ? ["--allow-net"] : []),
    `--allow-read=${[...set.read, ...extra].join(",")}`,
    `--allow-write=${[...set.write, ...extra].join(",")}`,
    "--no-prompt",
  ];
}
