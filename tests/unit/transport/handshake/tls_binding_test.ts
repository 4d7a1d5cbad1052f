/** The peer secret over TLS: each proof counts for one certificate, that of the node that proves it. */
import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { SystemClock } from "../../../../lib/platform/system.ts";
import type { Address, Connection, Listener } from "../../../../lib/platform/network.ts";
import { TlsNetwork } from "../../../../lib/platform/tls/tls_network.ts";
import { HandshakeError } from "../../../../lib/protocol/errors.ts";
import type { Welcome } from "../../../../lib/protocol/hello.ts";
import { probePeer } from "../../../../lib/transport/dial.ts";
import { CALLER, NetNode } from "../../../support/fakes/accepting_node.ts";
import { Authority } from "../../../support/tls/certificates.ts";
import { authentication } from "./handshake_scene.ts";

const ANY_PORT = { host: "127.0.0.1", port: 0 };
const authority = new Authority();

/** The network of a machine with a certificate of its own, from the authority that all trust. */
function machine(): TlsNetwork {
  const credentials = { ca: authority.cert, ...authority.node() };
  return new TlsNetwork({
    credentials: () => credentials,
    minVersion: "TLSv1.3",
    peerName: null,
    asksForCertificate: true,
    onFailure: () => {},
  });
}

function probe(address: Address): Promise<Welcome> {
  return probePeer(address, {
    network: machine(),
    clock: new SystemClock(),
    signal: new AbortController().signal,
    caller: CALLER,
    expectedNodeId: 1,
    peerAuthentication: authentication("require"),
  });
}

/** Passes all bytes of `from` on to `to`. */
async function pass(from: Connection, to: Connection): Promise<void> {
  const buffer = new Uint8Array(65_536);
  try {
    while (true) {
      const count = await from.read(buffer);
      if (count === null) break;
      for (let sent = 0; sent < count;) sent += await to.write(buffer.subarray(sent, count));
    }
  } catch {
    // One end has closed the connection.
  }
  from.close();
  to.close();
}

/** Takes a connection, and passes it on to the node at `target`: certificates alone do not show that. */
async function relayOnce(listener: Listener, target: Address): Promise<void> {
  const incoming = await listener.accept();
  if (incoming === null) return;
  const outgoing = await machine().connect(target, new AbortController().signal);
  await Promise.all([pass(incoming, outgoing), pass(outgoing, incoming)]);
}

Deno.test("peer handshake over TLS: two nodes prove the secret; a relay with a trusted certificate is noticed", async () => {
  const accepter = authentication("require");
  const node = new NetNode({
    network: machine(),
    clock: new SystemClock(),
    overrides: { bind: ANY_PORT, peerAuthentication: accepter },
  });
  const welcome = await probe(node.listener.address);
  assertNotEquals(welcome.proof, null);

  const relay = machine().listen(ANY_PORT);
  const relaying = relayOnce(relay, node.listener.address);
  const error = await assertRejects(() => probe(relay.address), HandshakeError);
  assertEquals([error.code, accepter.failures.wrongProof], ["peerNotAuthenticated", 1]);
  relay.close();
  await relaying;
  await node.listener.close();
  assertEquals(node.callers.length, 1);
});
