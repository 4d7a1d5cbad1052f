/** The places that the executable has permissions for by name. `tools/permissions.ts` imports this file, without packages. */

/** The entry of the whole file system, which is revoked when it is not needed. */
export const EVERYWHERE = "/";

/** The usual places, relative ones below the working directory of the program. */
export const USUAL_PLACES = {
  read: ["./data", "/etc/kvraft", "/var/lib/kvraft"],
  write: ["./data", "/var/lib/kvraft"],
} as const;
