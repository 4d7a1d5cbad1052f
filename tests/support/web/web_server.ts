/** A web server on sockets, with and without TLS. */
import { DenoNetwork } from "../../../lib/platform/deno_network.ts";
import type { Network } from "../../../lib/platform/network.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import { TlsNetwork } from "../../../lib/platform/tls/tls_network.ts";
import { ALPN_PROTOCOLS, serveWeb, type WebHandler, type WebServer } from "../../../lib/web/mod.ts";
import { eventually } from "../eventually.ts";
import { RecordingLogger } from "../fakes/recording_logger.ts";
import { Authority } from "../tls/certificates.ts";

/** The authority of the certificate of servers with TLS. */
export const authority = new Authority();
const { cert, key } = authority.issue({ name: "server", altNames: ["IP:127.0.0.1"] });
/** TLS, with both versions of HTTP. */
export const tls = new TlsNetwork({
  credentials: () => ({ ca: authority.cert, cert, key }),
  minVersion: "TLSv1.2",
  peerName: null,
  asksForCertificate: false,
  onFailure: () => {},
  alpnProtocols: ALPN_PROTOCOLS,
});
/** TCP. */
export const plain = new DenoNetwork();

/** Runs `action` with the URL of a server. */
export async function withServer(
  { network = plain, handler }: { readonly network?: Network; readonly handler: WebHandler },
  action: (url: string, server: WebServer) => Promise<void>,
): Promise<void> {
  const logger = new RecordingLogger();
  const address = { host: "127.0.0.1", port: 0 };
  const server = serveWeb({ network, address, service: "HTTP", clock: new SystemClock(), logger, handler });
  try {
    // A listener of TLS begins to listen a little later.
    await eventually("it listens", async () => {
      using _connection = await Deno.connect({ hostname: "127.0.0.1", port: server.address.port });
      return true;
    });
    await action(`${network === tls ? "https" : "http"}://127.0.0.1:${server.address.port}`, server);
  } finally {
    await server.close();
  }
}
