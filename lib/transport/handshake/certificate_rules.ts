/**
 * Which certificates the accepting end of a TLS connection demands: of clients by configuration, of other nodes always.
 * The handshake of TLS lets every certificate in, so that the refusal can say what is wrong with it.
 */
import { parseAddress } from "../../platform/address.ts";
import type { ConnectionSecurity, PeerCertificate } from "../../platform/network.ts";
import { describeCertificate, isForHost } from "../../platform/tls/peer_certificate.ts";
import type { PeerCaller, Refusal } from "../../protocol/hello.ts";
import type { RefusalCode } from "../../protocol/errors.ts";
import type { Member } from "../../protocol/messages.ts";
import type { Authenticated } from "./peer_authentication.ts";

/** Two nodes that know each other by their certificates. */
export const BY_CERTIFICATE: Authenticated = { by: "certificate", keyName: null };

const HOW_TO_SHOW_ONE = "Connect with a certificate of its authority: --tls-cert and --tls-key";

/** Options of {@link CertificateRules}. */
export interface CertificateRulesOptions {
  readonly clientAuth: "none" | "optional" | "required";
  /** The name in the certificates of all nodes; null where each has that of its address. */
  readonly peerName: string | null;
  /** Counts a refusal. */
  readonly onRefused: (code: "certificateRequired" | "certificateRefused" | "peerNotAuthenticated") => void;
}

/** The rules of one node. */
export class CertificateRules {
  readonly #options: CertificateRulesOptions;

  constructor(options: CertificateRulesOptions) {
    this.#options = options;
  }

  /** Returns the certificate that says who a client is; null if it shows none, or none counts. */
  identityOf({ certificate }: ConnectionSecurity): PeerCertificate | null {
    return this.#options.clientAuth === "none" || certificate?.problem !== null ? null : certificate;
  }

  /** Returns why a client is refused for its certificate, or null. */
  checkClient({ certificate }: ConnectionSecurity): Refusal | null {
    const { clientAuth } = this.#options;
    if (clientAuth === "none") return null;
    if (certificate !== null) return this.#checkTrust(certificate);
    if (clientAuth === "optional") return null;
    return this.#refuse(
      "certificateRequired",
      `This node takes clients with a certificate only. ${HOW_TO_SHOW_ONE}.`,
    );
  }

  /** Returns why a node is refused for its certificate, or null. `members`: those of the cluster. */
  checkPeer(
    { certificate }: ConnectionSecurity,
    { caller: { nodeId, address }, members }: {
      readonly caller: PeerCaller;
      readonly members: readonly Member[];
    },
  ): Refusal | null {
    if (certificate === null) {
      return this.#refuse(
        "certificateRequired",
        `This node takes other nodes with a certificate only, and node ${nodeId} shows none. ${HOW_TO_SHOW_ONE}.`,
      );
    }
    const distrusted = this.#checkTrust(certificate);
    if (distrusted !== null) return distrusted;
    if (!certificate.isForServers) {
      return this.#refuse(
        "peerNotAuthenticated",
        `This node does not take ${
          describeCertificate(certificate)
        } for node ${nodeId}: it is not one of a node: its ` +
          "extended key usage does not name serverAuth. A node's certificate needs serverAuth and clientAuth.",
      );
    }
    const missing = this.#namesOf(nodeId, { address, members }).find((name) => !isForHost(certificate, name));
    if (missing === undefined) return null;
    const names = certificate.altNames.slice(0, 8).join(", ");
    return this.#refuse(
      "peerNotAuthenticated",
      `This node does not take ${describeCertificate(certificate)} for node ${nodeId}: it is for ` +
        `${
          names === "" ? "no name" : names
        }, and not for ${missing}. Give node ${nodeId} a certificate with that ` +
        "subject alternative name, or give all nodes one with the name of --peer-name.",
    );
  }

  /**
   * Returns the names that a node's certificate must have: otherwise the certificate of one node would make any node. Of
   * a caller that is no member only its own claim is known: this node may lag behind the configuration that added it.
   */
  #namesOf(
    nodeId: number,
    { address, members }: { readonly address: string; readonly members: readonly Member[] },
  ): readonly string[] {
    const { peerName } = this.#options;
    if (peerName !== null) return [peerName];
    const configured = members.find(({ id }) => id === nodeId)?.address ?? address;
    return [configured, address].map((one) => parseAddress(one).host);
  }

  #checkTrust(certificate: PeerCertificate): Refusal | null {
    const { problem } = certificate;
    return problem === null ? null : this.#refuse(
      "certificateRefused",
      `This node does not accept ${describeCertificate(certificate)}: ${problem}.`,
    );
  }

  #refuse(
    code: Extract<RefusalCode, "certificateRequired" | "certificateRefused" | "peerNotAuthenticated">,
    message: string,
  ): Refusal {
    this.#options.onRefused(code);
    return { kind: "refusal", code, message };
  }
}
