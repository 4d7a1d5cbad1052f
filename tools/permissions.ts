/**
 * The permission set `kvraft` of deno.json as flags.
 *
 * `deno run -P=kvraft` resolves the paths of the set relative to deno.json. With these flags they are relative to the
 * working directory of the program: the compiled executable may read its working directory and write ./data below it, and
 * a test can start a node in its own directory.
 */

/** The permission set in deno.json. */
interface PermissionSet {
  readonly net: boolean;
  readonly read: readonly string[];
  readonly write: readonly string[];
}

const configFile = new URL("../deno.json", import.meta.url);

/**
 * Returns the flags of the set, including `--no-prompt`.
 *
 * @param dataDirectory an additional directory to read and write, or null
 * @param certificatesDirectory an additional directory to read, or null
 */
export function permissionFlags(
  dataDirectory: string | null,
  certificatesDirectory: string | null = null,
): readonly string[] {
  const set: PermissionSet = JSON.parse(Deno.readTextFileSync(configFile)).permissions.kvraft;
  const unknown = Object.keys(set).filter((name) => !["net", "read", "write"].includes(name));
  if (unknown.length > 0) {
    throw new Error(
      `Cannot turn the permission ${unknown[0]} of deno.json into a flag: permissions.ts lacks it`,
    );
  }
  const extra = dataDirectory === null ? [] : [dataDirectory];
  const certificates = certificatesDirectory === null ? [] : [certificatesDirectory];
  return [
    ...(set.net ? ["--allow-net"] : []),
    `--allow-read=${[...set.read, ...extra, ...certificates].join(",")}`,
    `--allow-write=${[...set.write, ...extra].join(",")}`,
    "--no-prompt",
  ];
}
