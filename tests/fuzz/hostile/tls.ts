/**
 * Hostile programs on ports with TLS: bytes before, during and after the handshake, certificates of every wrong kind,
 * handshakes that do not end, and hostile frames within TLS.
 */
import { join } from "@std/path";
import { DenoNetwork } from "../../../lib/platform/deno_network.ts";
import type { Address, Connection, Dialer } from "../../../lib/platform/network.ts";
import { TlsDialer } from "../../../lib/platform/tls/tls_dialer.ts";
import type { ConnectionFrom } from "../../support/processes/source_address.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import { Authority, type Credentials } from "../../support/tls/certificates.ts";
import { clientHello, frame } from "../../support/wire.ts";
import { mutated } from "../mutator.ts";
import { type BurstsOptions, runBursts } from "./bursts.ts";

const HOST = "127.0.0.1";
/** The bursts of handshakes, without the part that the run decides. More stay open than a node lets wait. */
const BURSTS = { source: "127.0.0.3", maxOpen: 1_000, maxBurst: 40, maxSilenceMs: 200 };
const CHUNK_BYTES = 65_536;
/** The beginning of a ClientHello of TLS 1.3: record, handshake, version, and the first bytes of its random number. */
const HANDSHAKE = Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4, 5, 6, 7, 8);
const CORPUS = [
  HANDSHAKE,
  Uint8Array.of(0x16, 3, 1, 0, 1, 1),
  Uint8Array.of(0x15, 3, 3, 0, 2, 2, 50),
  Uint8Array.of(0x14, 3, 3, 0, 1, 1),
  Uint8Array.of(0x17, 3, 3, 0xff, 0xff),
  new TextEncoder().encode("GET / HTTP/1.1\r\nHost: n1\r\n\r\n"),
  frame(clientHello()),
];

/** The authority of a run, and the certificates that it and others have issued. */
export class HostileTls {
  readonly #authority = new Authority();
  /** Certificates of hostile programs: right ones of a client, and every kind of wrong one. */
  readonly #shown: readonly (Credentials | null)[];

  constructor() {
    const other = new Authority("another authority");
    const client = { name: "hostile", usages: ["client"] } as const;
    this.#shown = [
      this.#authority.issue(client),
      this.#authority.issue(client),
      null,
      other.issue(client),
      // That of another authority which claims the name of the right one.
      new Authority().issue(client),
      other.node(),
      this.#authority.issue({ ...client, validFromDays: -20, validToDays: -10 }),
      this.#authority.issue({ ...client, validFromDays: 10 }),
      this.#authority.issue({ ...client, isVersion1: true }),
      this.#authority.issue({ ...client, altNames: ["DNS:n1", "URI:kvraft:node", "email:a@b"] }),
      this.#authority.issue({ name: "hostile\u0000name\n", usages: [] }),
    ];
  }

  /** The certificates of correct programs. */
  get access(): { readonly ca: string; readonly cert: string; readonly key: string } {
    return { ca: this.#authority.cert, ...this.#authority.issue({ name: "witness", usages: ["client"] }) };
  }

  /** Writes the files of nodes; returns their options. */
  async writeFiles(folder: string): Promise<void> {
    const { cert, key } = this.#authority.node();
    await Deno.writeTextFile(join(folder, "ca.crt"), this.#authority.cert);
    await Deno.writeTextFile(join(folder, "node.crt"), cert);
    await Deno.writeTextFile(join(folder, "node.key"), key, { mode: 0o600 });
  }

  /** Returns the options of nodes. */
  flags(clientAuth: "optional" | "required"): readonly string[] {
    return [
      ...["--tls-ca", "ca.crt", "--tls-cert", "node.crt", "--tls-key", "node.key"],
      ...["--tls-client-auth", clientAuth],
    ];
  }

  /** Returns a dialer that uses TLS or not, shows any certificate, and may have its bytes changed in transit. */
  dialer(random: SeededRandom): Dialer {
    const plain = new DenoNetwork();
    return {
      connect: async (address: Address, signal: AbortSignal): Promise<Connection> => {
        if (random.chance(0.1)) return await plain.connect(address, signal);
        const shown = random.pick(this.#shown);
        const credentials = {
          ca: this.#authority.cert,
          cert: shown?.cert ?? null,
          key: shown?.key ?? null,
        };
        const minVersion = random.chance(0.2) ? "TLSv1.2" : "TLSv1.3";
        const dialer = new TlsDialer({ credentials: () => credentials, serverName: null, minVersion });
        if (random.chance(0.6)) return await dialer.connect(address, signal);
        return await dialer.connect({ host: HOST, port: changeBytesTo(address, random) }, signal);
      },
    };
  }
}

/** Opens a port for one connection to `address`, of which some bytes are changed, lost or held back; returns the port. */
function changeBytesTo(address: Address, random: SeededRandom): number {
  const listener = Deno.listen({ hostname: HOST, port: 0 });
  void (async (): Promise<void> => {
    using incoming = await listener.accept();
    listener.close();
    using outgoing = await Deno.connect({ hostname: address.host, port: address.port });
    const at = random.below(random.pick([300, 3_000, 30_000]));
    const isOutgoing = random.chance(0.7);
    await Promise.race([
      forward(incoming, outgoing, { at: isOutgoing ? at : null, random }),
      forward(outgoing, incoming, { at: isOutgoing ? null : at, random }),
    ]);
  })().catch(() => {});
  return listener.addr.port;
}

/** Forwards bytes; the chunk with the byte at this position is changed. */
async function forward(
  from: Deno.TcpConn,
  to: Deno.TcpConn,
  { at, random }: { readonly at: number | null; readonly random: SeededRandom },
): Promise<void> {
  const buffer = new Uint8Array(CHUNK_BYTES);
  let position = 0;
  let isChanged = false;
  for (let count = await from.read(buffer); count !== null; count = await from.read(buffer)) {
    position += count;
    let bytes = buffer.slice(0, count);
    if (at !== null && position > at && !isChanged) {
      isChanged = true;
      bytes = mutated({ corpus: [bytes], tokens: CORPUS }, random);
    }
    for (let sent = 0; sent < bytes.length;) sent += await to.write(bytes.subarray(sent));
  }
}

/** A hostile program whose handshakes do not end, or are of other protocols. */
export class HandshakeSpeaker {
  readonly #options: Pick<BurstsOptions, "clock" | "ports" | "random">;
  /** Handshakes that it began. */
  handshakes = 0;

  constructor(options: Pick<BurstsOptions, "clock" | "ports" | "random">) {
    this.#options = options;
  }

  /** Begins one burst of handshakes after the other while `goesOn` returns true. */
  run(goesOn: () => boolean): Promise<void> {
    return runBursts({ ...this.#options, ...BURSTS, goesOn, use: (connection) => this.#begin(connection) });
  }

  async #begin(connection: ConnectionFrom): Promise<void> {
    const { random } = this.#options;
    this.handshakes += 1;
    if (random.chance(0.2)) return;
    const bytes = random.chance(0.3)
      ? random.pick(CORPUS)
      : mutated({ corpus: CORPUS, tokens: [HANDSHAKE] }, random);
    await connection.send(bytes);
  }
}
