/** The options of the client that concern TLS. */
import type { TlsOptions } from "../client/types.ts";
import { errorMessage } from "../platform/errors.ts";
import type { OptionSpec } from "./arguments.ts";
import type { Environment } from "./environment.ts";
import { UsageError } from "./errors.ts";
import { textOfBytes } from "./text.ts";

type FileReader = Pick<Environment, "readFile" | "readSecretFile">;

/** Longest file. */
const MAX_FILE_BYTES = 1_048_576;

/** Options by which a client uses TLS. */
export const CLIENT_TLS_OPTIONS: readonly OptionSpec[] = [
  {
    name: "tls-ca",
    placeholder: "<path>",
    help: "connect with TLS; the certificates of trusted authorities, in PEM",
  },
  { name: "tls-cert", placeholder: "<path>", help: "this client's certificate, in PEM" },
  { name: "tls-key", placeholder: "<path>", help: "the private key of --tls-cert" },
  {
    name: "tls-server-name",
    placeholder: "<name>",
    help: "the name in the nodes' certificates, in place of the host that is dialled",
  },
];

/** Reads the files that the options name; null without TLS. Throws {@link UsageError}. */
export function tlsOf(
  options: ReadonlyMap<string, string>,
  environment: FileReader,
): TlsOptions | null {
  const ca = options.get("tls-ca");
  const given = CLIENT_TLS_OPTIONS.find(({ name }) => options.has(name));
  if (ca === undefined) {
    if (given === undefined) return null;
    throw new UsageError(`--${given.name} has no effect without --tls-ca, which turns TLS on. Give both.`);
  }
  const read = (name: string): string | null => {
    const path = options.get(name);
    return path === undefined ? null : readText(path, { name, environment });
  };
  const [cert, key, serverName] = [read("tls-cert"), read("tls-key"), options.get("tls-server-name")];
  if ((cert === null) !== (key === null)) {
    throw new UsageError("--tls-cert and --tls-key are given together, or not at all.");
  }
  return {
    ca: readText(ca, { name: "tls-ca", environment }),
    ...(cert === null || key === null ? {} : { cert, key }),
    ...(serverName === undefined ? {} : { serverName }),
  };
}

function readText(
  path: string,
  { name, environment }: { readonly name: string; readonly environment: FileReader },
): string {
  let bytes: Uint8Array;
  try {
    bytes = name === "tls-key"
      ? environment.readSecretFile(path, MAX_FILE_BYTES)
      : environment.readFile(path, MAX_FILE_BYTES);
  } catch (error) {
    throw new UsageError(`Cannot use --${name} ${path}: ${errorMessage(error)}.`);
  }
  const text = bytes.length > MAX_FILE_BYTES ? null : textOfBytes(bytes);
  if (text === null) throw new UsageError(`Cannot use --${name} ${path}: it is not text in PEM.`);
  return text;
}
