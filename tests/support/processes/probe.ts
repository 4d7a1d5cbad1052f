/** A direct query of one node, over a separate connection, so that test results do not depend on the client library. */
import { SIGN_IN } from "../../../lib/protocol/auth_command.ts";
import { decodeServerMessage, type ServerMessage } from "../../../lib/protocol/client_frames.ts";
import { FRAME_KIND } from "../frames/kinds.ts";
import { DeadlineError } from "../eventually.ts";
import { clientHello, ConnectionEndedError, frame, Wire } from "../wire.ts";

/** A request and its node. */
export interface Question {
  readonly port: number;
  readonly kind: "status" | "stateHash";
  readonly deadlineMs: number;
  /** By which it signs in first; null, the default: it does not. */
  readonly token?: string | null;
}

/** Returns the node's answer; null when it does not listen or answer in time, as a dead or suspended one. */
export async function ask({ port, kind, deadlineMs, token = null }: Question): Promise<ServerMessage | null> {
  try {
    using wire = await Wire.connect(port);
    await wire.send(frame(clientHello()));
    if (token !== null) {
      await wire.send(frame([FRAME_KIND.signIn, 1, [SIGN_IN.numbers.token, token]]));
      await wire.take([FRAME_KIND.signedIn, FRAME_KIND.error], { deadlineMs });
    }
    await wire.send(frame([FRAME_KIND[kind], 1]));
    const { payload } = await wire.take([FRAME_KIND[`${kind}Result`], FRAME_KIND.error], { deadlineMs });
    return decodeServerMessage(payload);
  } catch (error) {
    const silent = [DeadlineError, ConnectionEndedError, Deno.errors.ConnectionRefused];
    if (silent.some((kind) => error instanceof kind)) return null;
    throw error;
  }
}
