/** Options of a server that concern TLS. */
import { choiceOption, flagOption, nullWhenAbsent, pathOption, textOption } from "./option_kinds.ts";

/** Whether clients show a certificate: never, if they have one, or always. */
export const CLIENT_AUTH_MODES = ["none", "optional", "required"] as const;
/** One of {@link CLIENT_AUTH_MODES}. */
export type ClientAuthMode = typeof CLIENT_AUTH_MODES[number];

/** The options, in the order of the help. */
export const TLS_OPTIONS = {
  /** The certificate of this node, with intermediate ones behind it; null without TLS. */
  tlsCert: nullWhenAbsent(pathOption({
    name: "tls-cert",
    placeholder: "<path>",
    help: "this node's certificate in PEM: all connections use TLS then",
    allowed: "a file",
    path: "read",
    fallback: "none",
    example: "certs/node1.crt",
  })),
  /** The private key of {@link tlsCert}. */
  tlsKey: nullWhenAbsent(pathOption({
    name: "tls-key",
    placeholder: "<path>",
    help: "the private key of --tls-cert",
    allowed: "a file that only its owner may read",
    path: "read",
    fallback: "none",
    example: "certs/node1.key",
  })),
  /** The certificates of the authorities that are trusted. */
  tlsCa: nullWhenAbsent(pathOption({
    name: "tls-ca",
    placeholder: "<path>",
    help: "the certificates of the authorities that nodes and clients must have theirs from",
    allowed: "a file",
    path: "read",
    fallback: "none",
    example: "certs/ca.crt",
  })),
  /** Whether clients must show a certificate. Other nodes always must. */
  tlsClientAuth: choiceOption({
    name: "tls-client-auth",
    placeholder: "<mode>",
    help: "whether clients show a certificate; other nodes always do",
    choices: CLIENT_AUTH_MODES,
    fallback: "optional",
    example: "required",
  }),
  tlsMinVersion: choiceOption({
    name: "tls-min-version",
    placeholder: "<version>",
    help: "the least version of TLS",
    choices: ["1.3", "1.2"],
    fallback: "1.3",
    example: "1.2",
  }),
  /** The name that the certificates of all nodes have; null where each has that of its address. */
  peerName: nullWhenAbsent(textOption({
    name: "peer-name",
    placeholder: "<name>",
    help: "a name in the certificates of all nodes, checked in place of their addresses",
    allowed: "a DNS name in lower case",
    pattern: /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/,
    fallback: "none",
    example: "kvraft.internal",
  })),
  /** Whether the group may read the key and the peer secret, as of files that Kubernetes mounts. */
  allowGroupReadableKeys: flagOption({
    name: "allow-group-readable-keys",
    help: "take a private key and a peer secret that its group may read",
  }),
  /** Whether it may listen beyond loopback without TLS and without a peer secret. */
  insecure: flagOption({
    name: "insecure",
    help: "listen beyond this machine without TLS or a peer secret: any client may read and write",
  }),
};
