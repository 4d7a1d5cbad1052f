/** A direct query of one node, over a separate connection, so that test results do not depend on the client library. */
import { decodeServerMessage, type ServerMessage } from "../../../lib/protocol/client_frames.ts";
import { FRAME_KIND } from "../frames/kinds.ts";
import { DeadlineError } from "../eventually.ts";
import { clientHello, ConnectionEndedError, frame, Wire } from "../wire.ts";

/** A request and its node. */
export interface Question {
  readonly port: number;
  readonly kind: "status" | "stateHash";
  readonly deadlineMs: number;
}

/** Returns the node's answer; null when it does not listen or answer in time, as a dead or suspended one. */
export async function ask({ port, kind, deadlineMs }: Question): Promise<ServerMessage | null> {
  try {
    using wire = await Wire.connect(port);
    await wire.send(frame(clientHello()));
    await wire.send(frame([FRAME_KIND[kind], 1]));
    const { payload } = await wire.take([FRAME_KIND[`${kind}Result`], FRAME_KIND.error], { deadlineMs });
    return decodeServerMessage(payload);
  } catch (error) {
    const silent = [DeadlineError, ConnectionEndedError, Deno.errors.ConnectionRefused];
    if (silent.some((kind) => error instanceof kind)) return null;
    throw error;
  }
}
