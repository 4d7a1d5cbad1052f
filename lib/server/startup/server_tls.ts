/**
 * The TLS of a server: its files, which are read again while it runs, its networks, and the certificates that it demands.
 */
import type { Clock, Timer } from "../../platform/clock.ts";
import { errorMessage } from "../../platform/errors.ts";
import type { Logger } from "../../platform/logger.ts";
import { fileErrorReason, PrivateFileError, type ReadPrivateFile } from "../../platform/private_file.ts";
import { dateOf, isForHost } from "../../platform/tls/peer_certificate.ts";
import {
  checkCredentials,
  type CheckedCredentials,
  CredentialsError,
  type CredentialTexts,
} from "../../platform/tls/server_credentials.ts";
import { type HandshakeFailure, type HandshakeFailureReason } from "../../platform/tls/tls_listener.ts";
import { TlsNetwork } from "../../platform/tls/tls_network.ts";
import { CertificateRules } from "../../transport/handshake/certificate_rules.ts";
import { CertifiedNetwork } from "../../transport/handshake/certified_network.ts";
import type { Network } from "../../platform/network.ts";
import { ALPN_PROTOCOLS } from "../../web/mod.ts";
import type { ServerConfig } from "../config/config.ts";
import { ConfigError } from "../config/config_file.ts";

/** Interval at which the files are read again. */
export const TLS_FILES_CHECK_MS = 5_000;
/** Remaining days at which a certificate's end is announced, at the start and daily. */
export const EXPIRY_WARNING_DAYS = 30;
/** Interval of log lines about failed handshakes of one reason. */
const FAILURE_LOG_INTERVAL_MS = 10_000;
/** Longest file. */
export const MAX_TLS_FILE_BYTES = 1_048_576;
const DAY_MS = 86_400_000;
/** The first version of Deno whose `node:tls` verifies certificates of clients. */
const MIN_DENO_VERSION = "2.9.6";

const FLAGS = { ca: "tls-ca", cert: "tls-cert", key: "tls-key" } as const;
const EXAMPLES = { ca: "certs/ca.crt", cert: "certs/node1.crt", key: "certs/node1.key" } as const;

/** Reasons of {@link ServerTls.failures}: those of handshakes, and the refusals after them. */
export type TlsFailureReason =
  | HandshakeFailureReason
  | "certificateRequired"
  | "certificateRefused"
  | "peerNotAuthenticated";

/** The machine's part of TLS. */
export interface TlsPlatform {
  readonly clock: Clock;
  /** Returns milliseconds since 1970. */
  readonly wallClock: () => number;
  readonly logger: Logger;
  readonly readPublicFile: (path: string, maxBytes: number) => string;
  readonly readPrivateFile: ReadPrivateFile;
  /** The version of Deno. */
  readonly denoVersion: string;
}

/** A configuration with TLS: of a node, or of a gateway, which has neither an id nor members. */
type TlsConfig =
  & Pick<
    ServerConfig,
    "tlsCert" | "tlsKey" | "tlsCa" | "tlsClientAuth" | "tlsMinVersion" | "peerName" | "allowGroupReadableKeys"
  >
  & Partial<Pick<ServerConfig, "nodeId" | "members">>;

/** The paths of the files. */
type Paths = Readonly<Record<keyof CredentialTexts, string>>;

/** Reads the files that the configuration names; null if it names none. Throws {@link ConfigError}. */
export function openServerTls(config: TlsConfig, platform: TlsPlatform): ServerTls | null {
  const { tlsCa: ca, tlsCert: cert, tlsKey: key } = config;
  return ca === null || cert === null || key === null
    ? null
    : new ServerTls(config, { paths: { ca, cert, key }, platform });
}

/** The TLS of one server. */
export class ServerTls {
  /** For clients and other nodes, in both directions. */
  readonly network: TlsNetwork;
  /** For HTTP, whose clients are not asked for certificates. */
  readonly httpNetwork: TlsNetwork;
  /** For front ends over HTTP/1.1 and HTTP/2 whose clients show tokens, and can show no certificates. */
  readonly webNetwork: TlsNetwork;
  /** For front ends whose clients show a certificate where it is required of all, and tokens. */
  readonly certifiedWebNetwork: Pick<Network, "listen">;
  readonly rules: CertificateRules;
  readonly #config: TlsConfig;
  readonly #paths: Paths;
  readonly #platform: TlsPlatform;
  readonly #failures = new Map<TlsFailureReason, number>();
  /** By reason: the time of the last log line, and the failures since. */
  readonly #logged = new Map<TlsFailureReason, { atMs: number; since: number }>();
  readonly #networks: readonly TlsNetwork[];
  #current: CheckedCredentials;
  /** The reason for which the files could not be used at the last check; null if they could. */
  #problem: string | null = null;
  #logger: Logger;
  #timer: Timer | null = null;
  #expiryTimer: Timer | null = null;

  /** Reads and checks the files; throws {@link ConfigError}. */
  constructor(
    config: TlsConfig,
    { paths, platform }: { readonly paths: Paths; readonly platform: TlsPlatform },
  ) {
    this.#config = config;
    this.#paths = paths;
    this.#platform = platform;
    this.#logger = platform.logger;
    checkVersion(platform.denoVersion);
    this.#current = this.#readAtStart();
    const credentials = (): CheckedCredentials["credentials"] => this.#current.credentials;
    const minVersion = config.tlsMinVersion === "1.2" ? "TLSv1.2" : "TLSv1.3";
    const { peerName, tlsClientAuth: clientAuth } = config;
    const onFailure = (failure: HandshakeFailure): void => this.#handshakeFailed(failure);
    const options = { credentials, minVersion, peerName, onFailure } as const;
    this.network = new TlsNetwork({ ...options, asksForCertificate: true });
    this.httpNetwork = new TlsNetwork({ ...options, asksForCertificate: false });
    const webOptions = { ...options, alpnProtocols: ALPN_PROTOCOLS };
    this.webNetwork = new TlsNetwork({ ...webOptions, asksForCertificate: false });
    const certified = new TlsNetwork({ ...webOptions, asksForCertificate: true });
    this.#networks = [this.network, this.httpNetwork, this.webNetwork, certified];
    this.rules = new CertificateRules({ clientAuth, peerName, onRefused: (code) => this.#count(code) });
    this.certifiedWebNetwork = clientAuth === "required"
      ? new CertifiedNetwork({ network: certified, rules: this.rules, logger: () => this.#logger })
      : this.webNetwork;
    this.#announceExpiry();
    this.#announceUnfitForNode();
  }

  /** Whether every client must show a certificate. */
  get requiresCertificates(): boolean {
    return this.#config.tlsClientAuth === "required";
  }

  /** Failed handshakes, and connections refused for their certificate, so far. */
  get failures(): ReadonlyMap<TlsFailureReason, number> {
    return this.#failures;
  }

  /** When the certificate, or that of an authority that it depends on, expires, in milliseconds since 1970. */
  get expiresAtMs(): number {
    return this.#current.end.expiresAtMs;
  }

  /** Days until then; negative afterwards. */
  get daysLeft(): number {
    return Math.floor((this.expiresAtMs - this.#platform.wallClock()) / DAY_MS);
  }

  /** Whether the certificate has this name of a host. */
  isNamed(host: string): boolean {
    return isForHost(this.#current, host);
  }

  /**
   * Reads the files again at intervals, and uses them for new connections if they have changed. `logger` takes its lines
   * from now on.
   */
  watch(logger: Logger = this.#logger): void {
    this.#logger = logger;
    this.#timer = this.#platform.clock.after(TLS_FILES_CHECK_MS, () => {
      this.#check();
      this.watch();
    });
  }

  /** Ends {@link watch}. */
  close(): void {
    this.#timer?.cancel();
    this.#expiryTimer?.cancel();
  }

  #readAtStart(): CheckedCredentials {
    try {
      return checkCredentials(this.#read(), this.#platform.wallClock());
    } catch (error) {
      if (!(error instanceof CredentialsError)) throw error;
      const { part, message } = error;
      const flag = FLAGS[part];
      throw new ConfigError(
        `--${flag}: cannot use ${this.#paths[part]}: ${message}. Allowed: ${ALLOWED[part]}. ` +
          `Example: --${flag} ${EXAMPLES[part]}`,
      );
    }
  }

  /** Reads the files. Throws {@link CredentialsError}. */
  #read(): CredentialTexts {
    const { readPublicFile, readPrivateFile } = this.#platform;
    const mayGroupRead = this.#config.allowGroupReadableKeys;
    const publicText = (part: "ca" | "cert"): string =>
      readPart(part, () => readPublicFile(this.#paths[part], MAX_TLS_FILE_BYTES));
    return {
      ca: publicText("ca"),
      cert: publicText("cert"),
      key: readPart(
        "key",
        () => readPrivateFile(this.#paths.key, { maxBytes: MAX_TLS_FILE_BYTES, mayGroupRead }),
      ),
    };
  }

  #check(): void {
    const { wallClock } = this.#platform;
    const logger = this.#logger;
    let found: CheckedCredentials;
    try {
      const texts = this.#read();
      const { credentials } = this.#current;
      if (texts.ca === credentials.ca && texts.cert === credentials.cert && texts.key === credentials.key) {
        this.#problem = null;
        return;
      }
      found = checkCredentials(texts, wallClock());
    } catch (error) {
      if (!(error instanceof CredentialsError)) throw error;
      const problem = `${this.#paths[error.part]}: ${error.message}`;
      // The files are renamed one after the other: a key without its certificate is no problem yet.
      if (problem !== this.#problem) {
        logger.warn("Cannot use the TLS files as they are now; the ones read before stay in use", {
          event: "certificateUnusable",
          reason: problem,
        });
      }
      this.#problem = problem;
      return;
    }
    this.#problem = null;
    this.#current = found;
    for (const network of this.#networks) network.replaceCredentials();
    logger.info("Read the TLS files again; new connections use them", {
      event: "certificateReloaded",
      path: this.#paths.cert,
      expires: dateOf(found.end.expiresAtMs),
    });
    this.#announceExpiry();
    this.#announceUnfitForNode();
  }

  /**
   * Logs why other nodes refuse the certificate, which serves clients. It is no error: the node may have moved since the
   * nodes were listed, or may have no others yet.
   */
  #announceUnfitForNode(): void {
    const { nodeId, members, peerName } = this.#config;
    if (nodeId === undefined) return;
    const host = peerName ?? members?.find(({ id }) => id === nodeId)?.address.host ?? null;
    const reason = !this.#current.isForNodes
      ? "its extended key usage does not name serverAuth and clientAuth"
      : host === null || this.isNamed(host)
      ? null
      : `it is not for ${host}, but for ${this.#current.altNames.join(", ") || "no name"}`;
    if (reason === null) return;
    this.#logger.warn("Other nodes refuse the TLS certificate of this node. Give it another one", {
      path: this.#paths.cert,
      reason,
    });
  }

  /** Logs when the certificate, or that of an authority, ends soon: daily, and when it ends. */
  #announceExpiry(): void {
    const { clock, wallClock } = this.#platform;
    const logger = this.#logger;
    const { expiresAtMs, authority } = this.#current.end;
    const leftMs = expiresAtMs - wallClock();
    const days = this.daysLeft;
    const event = days < 0 ? "certificateExpired" : "certificateExpires";
    const fields = {
      event,
      path: this.#paths.cert,
      ...(authority === null ? {} : { authority }),
      expires: dateOf(expiresAtMs),
      days,
    };
    if (days < 0) {
      logger.error(
        authority === null
          ? "The TLS certificate has expired: other nodes and clients refuse it. Renew it"
          : "An authority that the TLS certificate depends on has expired: clients refuse the certificate. Renew both",
        fields,
      );
    } else if (days < EXPIRY_WARNING_DAYS) {
      logger.warn(
        authority === null
          ? "The TLS certificate expires soon. Renew it"
          : "An authority that the TLS certificate depends on expires soon. Renew both",
        fields,
      );
    }
    this.#expiryTimer?.cancel();
    const nextMs = leftMs < 0 ? DAY_MS : Math.min(DAY_MS, Math.ceil(leftMs) + 1);
    this.#expiryTimer = clock.after(nextMs, () => this.#announceExpiry());
  }

  #count(reason: TlsFailureReason): void {
    this.#failures.set(reason, (this.#failures.get(reason) ?? 0) + 1);
  }

  #handshakeFailed({ reason, detail, remote }: HandshakeFailure): void {
    this.#count(reason);
    const now = this.#platform.clock.now();
    const last = this.#logged.get(reason) ?? { atMs: -Infinity, since: 0 };
    last.since += 1;
    this.#logged.set(reason, last);
    if (now - last.atMs < FAILURE_LOG_INTERVAL_MS) return;
    const message = reason === "notTls"
      ? "Closed a connection without TLS: this port takes connections with TLS only"
      : "A TLS handshake failed";
    this.#logger.info(message, { remote, reason, detail, failures: last.since });
    last.atMs = now;
    last.since = 0;
  }
}

const ALLOWED = {
  ca: "a file with the certificates of one or more authorities, in PEM",
  cert: "a file with a certificate that an authority of --tls-ca has issued, in PEM",
  key:
    "a file with the key of the certificate of --tls-cert, in PEM and not encrypted, that only its owner may read",
} as const;

function readPart(part: keyof CredentialTexts, read: () => string): string {
  try {
    return read();
  } catch (error) {
    const reason = error instanceof PrivateFileError ? errorMessage(error) : fileErrorReason(error);
    throw new CredentialsError(part, reason);
  }
}

/** Throws {@link ConfigError} for a version of Deno that would accept certificates of clients without verifying them. */
function checkVersion(version: string): void {
  const numbers = (text: string): number[] => text.split(/[.-]/, 3).map(Number);
  const [major = 0, minor = 0, patch = 0] = numbers(version);
  const [leastMajor = 0, leastMinor = 0, leastPatch = 0] = numbers(MIN_DENO_VERSION);
  const difference = major - leastMajor || minor - leastMinor || patch - leastPatch;
  if (difference >= 0) return;
  throw new ConfigError(
    `--tls-cert: this program runs on Deno ${version}, which does not verify the certificates of clients. ` +
      `Allowed: Deno ${MIN_DENO_VERSION} or newer. Example: deno upgrade ${MIN_DENO_VERSION}`,
  );
}
