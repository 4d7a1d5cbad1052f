/**
 * The bare listener that a node's new connections over mutual TLS are compared with: node:tls alone, which sends the
 * first bytes of each connection back. Usage: bare_listener_main.ts <BareListener as JSON>
 */
import { createServer } from "node:tls";

/** Where it listens, and its certificate. */
export interface BareListener {
  readonly host: string;
  readonly port: number;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

if (import.meta.main) {
  const { host, port, ...credentials }: BareListener = JSON.parse(Deno.args[0] ?? "");
  const server = createServer({
    ...credentials,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: "TLSv1.3",
    noDelay: true,
  }, (socket) => {
    socket.on("error", () => socket.destroy());
    socket.on("data", (bytes) => void socket.write(bytes));
  });
  server.on("tlsClientError", (_error, socket) => void socket.destroy());
  server.listen(port, host, () => {
    Deno.stdout.writeSync(new TextEncoder().encode("ready to serve\n"));
  });
}
