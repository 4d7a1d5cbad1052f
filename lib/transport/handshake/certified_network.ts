/**
 * A network whose listeners take only connections that show the certificate which a node demands of clients: for protocols whose
 * handshake has no space for a refusal with a reason. The log of the node has the reason.
 */
import type { Logger } from "../../platform/logger.ts";
import type { Address, Connection, Listener, Network } from "../../platform/network.ts";
import type { CertificateRules } from "./certificate_rules.ts";

/** Options of {@link CertifiedNetwork}. */
export interface CertifiedNetworkOptions {
  /** Asks clients for certificates. */
  readonly network: Pick<Network, "listen">;
  readonly rules: CertificateRules;
  /** Returns the log at present. */
  readonly logger: () => Logger;
}

/** Listeners that refuse connections by the rules. */
export class CertifiedNetwork implements Pick<Network, "listen"> {
  readonly #options: CertifiedNetworkOptions;

  /** Opens nothing. */
  constructor(options: CertifiedNetworkOptions) {
    this.#options = options;
  }

  /** Listens on `address`; throws NetworkError when the port is taken or the address is not local. */
  listen(address: Address): Listener {
    const listener = this.#options.network.listen(address);
    return {
      address: listener.address,
      accept: () => this.#accept(listener),
      close: () => listener.close(),
    };
  }

  async #accept(listener: Listener): Promise<Connection | null> {
    for (;;) {
      const connection = await listener.accept();
      const refusal = connection === null ? null : this.#options.rules.checkClient(connection);
      if (connection === null || refusal === null) return connection;
      const { code, message: reason } = refusal;
      this.#options.logger().info("Refused a connection", { remote: connection.remote, code, reason });
      connection.close();
    }
  }
}
