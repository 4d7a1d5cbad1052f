/** The options of the client that concern TLS. */
import { checkTls, TlsOptionError } from "../client/auth/tls.ts";
import type { TlsOptions } from "../client/types.ts";
import { errorMessage } from "../platform/errors.ts";
import type { OptionSpec } from "./arguments.ts";
import type { Environment } from "./environment.ts";
import { UsageError } from "./errors.ts";
import { textOfBytes } from "./text.ts";

type FileReader = Pick<Environment, "readFile" | "readSecretFile">;

/** Interval at which files may be read again: a command that ends sooner reads each of them once. */
const FILES_CHECK_MS = 5_000;
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

/** The same options of a gateway, whose `--tls-…` are for what it listens on. */
export const CLUSTER_TLS_OPTIONS: readonly OptionSpec[] = CLIENT_TLS_OPTIONS.map((option) => ({
  ...option,
  name: `cluster-${option.name}`,
  help: option.help.replace("connect with", "dial the nodes with")
    .replace("this client's certificate", "the certificate that the gateway shows to nodes")
    .replace("--tls-", "--cluster-tls-"),
}));

/**
 * Reads the files that the options name; null without TLS. `prefix`: before the names of the options. Throws
 * {@link UsageError}.
 */
export function tlsOf(
  options: ReadonlyMap<string, string>,
  environment: FileReader,
  prefix: "" | "cluster-" = "",
): TlsOptions | null {
  const name = (part: string): string => `${prefix}tls-${part}`;
  const given = ["ca", "cert", "key", "server-name"].map(name).find((one) => options.has(one));
  const read = (part: string): string | null => {
    const path = options.get(name(part));
    return path === undefined ? null : readPem(path, { name: name(part), environment });
  };
  if (given === undefined) return null;
  if (!options.has(name("ca"))) {
    throw new UsageError(`--${given} has no effect without --${name("ca")}, which turns TLS on. Give both.`);
  }
  const [cert, key, serverName] = [read("cert"), read("key"), options.get(name("server-name"))];
  if ((cert === null) !== (key === null)) {
    throw new UsageError(`--${name("cert")} and --${name("key")} are given together, or not at all.`);
  }
  const tls = {
    ca: read("ca") ?? "",
    ...(cert === null || key === null ? {} : { cert, key }),
    ...(serverName === undefined ? {} : { serverName }),
  };
  try {
    checkTls(tls);
  } catch (error) {
    // The option of the library has another name than that of the command line, which has a file.
    if (!(error instanceof TlsOptionError)) throw error;
    const option = name(error.option === "serverName" ? "server-name" : error.option);
    throw new UsageError(`Cannot use --${option} ${options.get(option)}: ${error.reason}.`);
  }
  return tls;
}

/**
 * As {@link tlsOf}, with a function that reads the files again for connections that are opened later, so that a shell, a
 * long command and a gateway take renewed ones. A pipe, as of a shell's `<(…)`, has its text once: with one among the files,
 * none is read again.
 */
export function renewedTlsOf(
  options: ReadonlyMap<string, string>,
  environment: FileReader & Pick<Environment, "disk">,
  prefix: "" | "cluster-" = "",
): (() => TlsOptions) | null {
  const first = tlsOf(options, environment, prefix);
  if (first === null) return null;
  const paths = ["ca", "cert", "key"].flatMap((part) => options.get(`${prefix}tls-${part}`) ?? []);
  if (paths.some((path) => environment.disk.stat(path) === "stream")) return () => first;
  let current = { tls: first, readAtMs: Date.now() };
  return () => {
    if (Date.now() - current.readAtMs >= FILES_CHECK_MS) {
      current = { tls: tlsOf(options, environment, prefix) ?? first, readAtMs: Date.now() };
    }
    return current.tls;
  };
}

/**
 * Returns the text of the file that an option names, one with a private key if the name ends with `-key`. Throws
 * {@link UsageError}.
 */
export function readPem(
  path: string,
  { name, environment }: { readonly name: string; readonly environment: FileReader },
): string {
  let bytes: Uint8Array;
  try {
    bytes = name.endsWith("-key")
      ? environment.readSecretFile(path, MAX_FILE_BYTES)
      : environment.readFile(path, MAX_FILE_BYTES);
  } catch (error) {
    throw new UsageError(`Cannot use --${name} ${path}: ${errorMessage(error)}.`);
  }
  const text = bytes.length > MAX_FILE_BYTES ? null : textOfBytes(bytes);
  if (text === null) {
    const tool = name.endsWith("-key") ? "pkey" : "x509";
    throw new UsageError(
      `Cannot use --${name} ${path}: it is not text in PEM. Convert it: openssl ${tool} -inform der -in ${path}`,
    );
  }
  return text;
}
