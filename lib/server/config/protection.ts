/** Checks of the options of TLS with one another, and that a server which other machines reach is protected. */
import { formatAddress } from "../../platform/address.ts";
import type { Address } from "../../platform/network.ts";
import type { ServerConfig } from "./config.ts";
import { ConfigError } from "./config_file.ts";

/** The options of which all must be given, or none. */
const FILES = { "tls-cert": "tlsCert", "tls-key": "tlsKey", "tls-ca": "tlsCa" } as const;
/** The options with an address of HTTP, with an example. */
const WEB_EXAMPLES = { http: "127.0.0.1:9101", denokv: "127.0.0.1:4512", etcd: "127.0.0.1:2379" } as const;
type WebOption = keyof typeof WEB_EXAMPLES;
const WEB_OPTIONS: readonly WebOption[] = ["http", "denokv", "etcd"];
/** Options that mean nothing without TLS. */
const NEEDS_TLS = ["tls-client-auth", "tls-min-version", "peer-name", "allow-group-readable-keys"];
const EXAMPLE = "--tls-cert certs/node1.crt --tls-key certs/node1.key --tls-ca certs/ca.crt";

/** Settings that do not go with one another. */
export interface Contradiction {
  /** The names of the options: where one of them is wrong itself, there is no contradiction. */
  readonly of: readonly string[];
  readonly error: ConfigError;
}

/**
 * Yields the options of TLS that contradict one another, and the addresses beyond loopback without protection. `originOf`
 * returns where an option was given, or null.
 */
export function* protectionProblems(
  config: ServerConfig,
  originOf: (name: string) => string | null,
): Generator<Contradiction> {
  const missing = Object.entries(FILES).filter(([, key]) => config[key] === null).map(([name]) =>
    `--${name}`
  );
  const hasTls = missing.length === 0;
  if (!hasTls && missing.length < Object.keys(FILES).length) {
    const error = new ConfigError(
      `${missing.join(" and ")} ${
        missing.length === 1 ? "is" : "are"
      } missing. Allowed: all of --tls-cert, --tls-key and --tls-ca, or none. ` +
        `Example: ${EXAMPLE}`,
    );
    yield { of: Object.keys(FILES), error };
    return;
  }
  for (const name of hasTls ? [] : NEEDS_TLS.filter((name) => originOf(name) !== null)) {
    const error = new ConfigError(
      `${
        originOf(name)
      }: it has no effect without TLS. Allowed: with TLS, or not at all. Example: ${EXAMPLE}`,
    );
    yield { of: [name, ...Object.keys(FILES)], error };
  }
  if (hasTls || config.insecure) return;
  const { bind, peerSecretFile } = config;
  const others = [...Object.keys(FILES), "insecure"];
  if (!isLoopback(bind) && peerSecretFile === null) {
    const error = new ConfigError(
      `${originOf("bind")}: other machines reach ${
        formatAddress(bind)
      }, and nothing protects it: any program there could read ` +
        "and write all keys, and act as a node of the cluster. Choose one: --tls-cert, --tls-key and --tls-ca encrypt " +
        "all connections and authenticate nodes; --peer-secret-file authenticates nodes, without encryption; " +
        `--insecure takes the risk. Example: ${EXAMPLE}`,
    );
    yield { of: ["bind", "peer-secret-file", ...others], error };
  }
  for (const name of WEB_OPTIONS) {
    const address = config[name];
    if (address === null || isLoopback(address)) continue;
    yield { of: [name, ...others], error: unprotected(name, { address, originOf }) };
  }
}

/** Returns the error for an address of HTTP beyond loopback. */
function unprotected(
  name: WebOption,
  { address, originOf }: {
    readonly address: Address;
    readonly originOf: (name: string) => string | null;
  },
): ConfigError {
  return new ConfigError(
    `${originOf(name)}: other machines reach ${
      formatAddress(address)
    }, and nothing protects it. Choose one: an address ` +
      "of 127.0.0.1; --tls-cert, --tls-key and --tls-ca, which encrypt HTTP too; --insecure, which takes the risk. " +
      `Example: --${name} ${WEB_EXAMPLES[name]}`,
  );
}

/** Whether only programs of this machine reach an address. */
export function isLoopback({ host }: Address): boolean {
  return host === "localhost" || host === "::1" || /^127\.[0-9.]+$/.test(host);
}
