/**
 * The permission set `kvraft` of deno.json as flags of the executable.
 *
 * Where the set permits all files, the flags are the list of `lib/cli/processes/permissions.ts`, which the program reduces
 * once it has read its own flags. Tests run the source with the same flags.
 */
import { EVERYWHERE, USUAL_PLACES } from "../lib/cli/processes/usual_places.ts";

/** The permission set in deno.json. */
interface PermissionSet {
  readonly net: boolean;
  readonly read: boolean;
  readonly write: boolean;
  readonly env: readonly string[];
}

/** The executable that the flags are for. */
export interface PermissionOptions {
  /** The one directory that the program may read and write; null for any that its flags name. */
  readonly dataDirectory?: string | null;
  /** With `dataDirectory`: another directory that it may read, or null. */
  readonly configDirectory?: string | null;
  /** The operating system of the executable, as in `Deno.build.os` (default: this one). */
  readonly os?: string;
}

const configFile = new URL("../deno.json", import.meta.url);

/** Returns the flags of the set, including `--no-prompt`. */
export function permissionFlags(options: PermissionOptions = {}): readonly string[] {
  const set: PermissionSet = JSON.parse(Deno.readTextFileSync(configFile)).permissions.kvraft;
  const unknown = Object.keys(set).filter((name) => !["net", "read", "write", "env"].includes(name));
  if (unknown.length > 0) {
    throw new Error(
      `Cannot turn the permission ${unknown[0]} of deno.json into a flag: permissions.ts lacks it`,
    );
  }
  return [
    ...(set.net ? ["--allow-net"] : []),
    `--allow-env=${set.env.join(",")}`,
    ...(set.read ? [fileFlag("read", options)] : []),
    ...(set.write ? [fileFlag("write", options)] : []),
    "--no-prompt",
  ];
}

function fileFlag(name: "read" | "write", options: PermissionOptions): string {
  const { dataDirectory = null, configDirectory = null, os = Deno.build.os } = options;
  if (dataDirectory !== null) {
    const others = name === "read" && configDirectory !== null ? [configDirectory] : [];
    return `--allow-${name}=${[dataDirectory, ...others].join(",")}`;
  }
  // A list on Windows would need every drive.
  return os === "windows"
    ? `--allow-${name}`
    : `--allow-${name}=${[EVERYWHERE, ...USUAL_PLACES[name]].join(",")}`;
}
